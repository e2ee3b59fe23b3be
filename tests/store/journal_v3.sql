BEGIN TRANSACTION;
CREATE TABLE account (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    mode TEXT NOT NULL,
    bankroll_usd6 INTEGER NOT NULL,
    opened_ns INTEGER NOT NULL
);
INSERT INTO "account" VALUES(1,'live',1000000000,0);
CREATE TABLE answers (
    request_id TEXT PRIMARY KEY,
    answer BLOB NOT NULL,
    at_ns INTEGER NOT NULL
);
INSERT INTO "answers" VALUES('r-w1',X'84A174A86163636570746564A474657874A0A86F726465725F6964A430787731A87265706561746564C2',1900000060000000000);
INSERT INTO "answers" VALUES('r-w2',X'84A174A86163636570746564A474657874A0A86F726465725F6964A430787732A87265706561746564C2',1900000060000000000);
INSERT INTO "answers" VALUES('r-w3',X'84A174A86163636570746564A474657874A0A86F726465725F6964A430787733A87265706561746564C2',1900000060000000000);
INSERT INTO "answers" VALUES('r-w4',X'84A174A86163636570746564A474657874A0A86F726465725F6964A430787734A87265706561746564C2',1900000060000000000);
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,
    evidence TEXT NOT NULL,
    memo TEXT NOT NULL,
    UNIQUE (kind, evidence)
);
INSERT INTO "entries" VALUES(1,0,'opening','bankroll','');
INSERT INTO "entries" VALUES(2,1900000060000000000,'bought','t-w1','0xw1');
INSERT INTO "entries" VALUES(3,1900000060000000000,'bought','t-w2','0xw2');
INSERT INTO "entries" VALUES(4,1900000901000000000,'settled','positions:w2:up','official outcome up');
INSERT INTO "entries" VALUES(5,1900000060000000000,'bought','t-w3','0xw3');
INSERT INTO "entries" VALUES(6,1900000901000000000,'settled','positions:w3:up','official outcome up');
INSERT INTO "entries" VALUES(7,1900000060000000000,'bought','t-w4','0xw4');
INSERT INTO "entries" VALUES(8,1900000901000000000,'settled','positions:w4:up','official outcome down');
INSERT INTO "entries" VALUES(9,1900000901000000000,'redeemed','positions:w3:up','no shares of 31 are left in 0xab');
CREATE TABLE entry_lines (
    entry INTEGER NOT NULL REFERENCES entries (number),
    position INTEGER NOT NULL,
    account TEXT NOT NULL,
    amount_usd6 INTEGER NOT NULL,
    PRIMARY KEY (entry, position)
);
INSERT INTO "entry_lines" VALUES(1,0,'cash',1000000000);
INSERT INTO "entry_lines" VALUES(1,1,'capital',-1000000000);
INSERT INTO "entry_lines" VALUES(2,0,'positions:w1:up',5000000);
INSERT INTO "entry_lines" VALUES(2,1,'fees',175000);
INSERT INTO "entry_lines" VALUES(2,2,'cash',-5175000);
INSERT INTO "entry_lines" VALUES(3,0,'positions:w2:up',5000000);
INSERT INTO "entry_lines" VALUES(3,1,'fees',175000);
INSERT INTO "entry_lines" VALUES(3,2,'cash',-5175000);
INSERT INTO "entry_lines" VALUES(4,0,'redeemable',10000000);
INSERT INTO "entry_lines" VALUES(4,1,'positions:w2:up',-5000000);
INSERT INTO "entry_lines" VALUES(4,2,'pnl',-5000000);
INSERT INTO "entry_lines" VALUES(5,0,'positions:w3:up',5000000);
INSERT INTO "entry_lines" VALUES(5,1,'fees',175000);
INSERT INTO "entry_lines" VALUES(5,2,'cash',-5175000);
INSERT INTO "entry_lines" VALUES(6,0,'redeemable',10000000);
INSERT INTO "entry_lines" VALUES(6,1,'positions:w3:up',-5000000);
INSERT INTO "entry_lines" VALUES(6,2,'pnl',-5000000);
INSERT INTO "entry_lines" VALUES(7,0,'positions:w4:up',5000000);
INSERT INTO "entry_lines" VALUES(7,1,'fees',175000);
INSERT INTO "entry_lines" VALUES(7,2,'cash',-5175000);
INSERT INTO "entry_lines" VALUES(8,0,'redeemable',0);
INSERT INTO "entry_lines" VALUES(8,1,'positions:w4:up',-5000000);
INSERT INTO "entry_lines" VALUES(8,2,'pnl',5000000);
INSERT INTO "entry_lines" VALUES(9,0,'cash',10000000);
INSERT INTO "entry_lines" VALUES(9,1,'redeemable',-10000000);
CREATE TABLE fills (
    trade_id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders (order_id),
    window TEXT NOT NULL,
    asset TEXT NOT NULL,
    token TEXT NOT NULL,
    outcome TEXT NOT NULL,
    price4 INTEGER NOT NULL,
    size6 INTEGER NOT NULL CHECK (size6 > 0),
    cost_usd6 INTEGER NOT NULL,
    fee_usd6 INTEGER NOT NULL,
    at_ns INTEGER NOT NULL
, status TEXT NOT NULL DEFAULT 'confirmed');
INSERT INTO "fills" VALUES('t-w1','0xw1','w1','btc','11','up',5000,10000000,5000000,175000,1900000060000000000,'confirmed');
INSERT INTO "fills" VALUES('t-w2','0xw2','w2','btc','21','up',5000,10000000,5000000,175000,1900000060000000000,'confirmed');
INSERT INTO "fills" VALUES('t-w3','0xw3','w3','btc','31','up',5000,10000000,5000000,175000,1900000060000000000,'confirmed');
INSERT INTO "fills" VALUES('t-w4','0xw4','w4','btc','41','up',5000,10000000,5000000,175000,1900000060000000000,'confirmed');
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY,
    intent_id TEXT NOT NULL UNIQUE,
    window TEXT NOT NULL,
    strategy TEXT NOT NULL,
    asset TEXT NOT NULL,
    token TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('up', 'down')),
    limit4 INTEGER NOT NULL,
    stake_usd6 INTEGER NOT NULL,
    worst_usd6 INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('working', 'filled', 'partial', 'killed')),
    reason TEXT NOT NULL,
    filled_size6 INTEGER NOT NULL,
    cost_usd6 INTEGER NOT NULL,
    fee_usd6 INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    decided_ns INTEGER NOT NULL,
    cause TEXT NOT NULL,
    verdict_number INTEGER NOT NULL, basis TEXT NOT NULL DEFAULT 'settlement', unknown TEXT NOT NULL DEFAULT '', end_ns INTEGER NOT NULL DEFAULT 0, fee BLOB NOT NULL DEFAULT x'c0', wire BLOB NOT NULL DEFAULT x'',
    UNIQUE (window, strategy)
);
INSERT INTO "orders" VALUES('0xw1','w1/up/lag','w1','lag','btc','11','up',6100,10000000,10699930,'partial','no more at or below the limit',10000000,5000000,175000,1900000060000000000,1900000060000000000,1900000060000000000,'oracle-rtds/b/1',0,'settlement','',1900000900000000000,X'83A8726174655F70706DCE00011170A86578706F6E656E7401AA74616B65725F6F6E6C79C3',X'77697265');
INSERT INTO "orders" VALUES('0xw2','w2/up/lag','w2','lag','btc','21','up',6100,10000000,10699930,'partial','no more at or below the limit',10000000,5000000,175000,1900000060000000000,1900000060000000000,1900000060000000000,'oracle-rtds/b/1',0,'settlement','',1900000900000000000,X'83A8726174655F70706DCE00011170A86578706F6E656E7401AA74616B65725F6F6E6C79C3',X'77697265');
INSERT INTO "orders" VALUES('0xw3','w3/up/lag','w3','lag','btc','31','up',6100,10000000,10699930,'partial','no more at or below the limit',10000000,5000000,175000,1900000060000000000,1900000060000000000,1900000060000000000,'oracle-rtds/b/1',0,'settlement','',1900000900000000000,X'83A8726174655F70706DCE00011170A86578706F6E656E7401AA74616B65725F6F6E6C79C3',X'77697265');
INSERT INTO "orders" VALUES('0xw4','w4/up/lag','w4','lag','btc','41','up',6100,10000000,10699930,'partial','no more at or below the limit',10000000,5000000,175000,1900000060000000000,1900000060000000000,1900000060000000000,'oracle-rtds/b/1',0,'settlement','',1900000900000000000,X'83A8726174655F70706DCE00011170A86578706F6E656E7401AA74616B65725F6F6E6C79C3',X'77697265');
CREATE TABLE positions (
    window TEXT NOT NULL,
    asset TEXT NOT NULL,
    token TEXT NOT NULL,
    outcome TEXT NOT NULL,
    size6 INTEGER NOT NULL,
    cost_usd6 INTEGER NOT NULL,
    fee_usd6 INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    settled INTEGER NOT NULL CHECK (settled IN (0, 1)),
    official TEXT,
    payout_usd6 INTEGER NOT NULL,
    pnl_usd6 INTEGER NOT NULL,
    settled_ns INTEGER, basis TEXT NOT NULL DEFAULT 'settlement', redeemed TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (window, outcome),
    CHECK (settled = (official IS NOT NULL) AND settled = (settled_ns IS NOT NULL))
);
INSERT INTO "positions" VALUES('w1','btc','11','up',10000000,5000000,175000,1900000900000000000,0,NULL,0,0,NULL,'settlement','');
INSERT INTO "positions" VALUES('w2','btc','21','up',10000000,5000000,175000,1900000900000000000,1,'up',10000000,4825000,1900000901000000000,'settlement','');
INSERT INTO "positions" VALUES('w3','btc','31','up',10000000,5000000,175000,1900000900000000000,1,'up',10000000,4825000,1900000901000000000,'settlement','no shares of 31 are left in 0xab');
INSERT INTO "positions" VALUES('w4','btc','41','up',10000000,5000000,175000,1900000900000000000,1,'down',0,-5175000,1900000901000000000,'settlement','');
CREATE TABLE postures (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    posture TEXT NOT NULL,
    reason TEXT NOT NULL,
    who TEXT NOT NULL,
    since_ns INTEGER NOT NULL
);
INSERT INTO "postures" VALUES(1,'trading','start','test',0);
CREATE TRIGGER fills_only_status BEFORE UPDATE ON fills WHEN OLD.trade_id IS NOT NEW.trade_id OR OLD.order_id IS NOT NEW.order_id OR OLD.window IS NOT NEW.window OR OLD.asset IS NOT NEW.asset OR OLD.token IS NOT NEW.token OR OLD.outcome IS NOT NEW.outcome OR OLD.price4 IS NOT NEW.price4 OR OLD.size6 IS NOT NEW.size6 OR OLD.cost_usd6 IS NOT NEW.cost_usd6 OR OLD.fee_usd6 IS NOT NEW.fee_usd6 OR OLD.at_ns IS NOT NEW.at_ns OR OLD.status IN ('confirmed', 'failed') BEGIN SELECT RAISE(ABORT, 'fills: UPDATE is not allowed'); END;
CREATE TRIGGER account_no_update BEFORE UPDATE ON account BEGIN SELECT RAISE(ABORT, 'account: UPDATE is not allowed'); END;
CREATE TRIGGER postures_no_update BEFORE UPDATE ON postures BEGIN SELECT RAISE(ABORT, 'postures: UPDATE is not allowed'); END;
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries: UPDATE is not allowed'); END;
CREATE TRIGGER entry_lines_no_update BEFORE UPDATE ON entry_lines BEGIN SELECT RAISE(ABORT, 'entry_lines: UPDATE is not allowed'); END;
CREATE TRIGGER account_no_delete BEFORE DELETE ON account BEGIN SELECT RAISE(ABORT, 'account: DELETE is not allowed'); END;
CREATE TRIGGER postures_no_delete BEFORE DELETE ON postures BEGIN SELECT RAISE(ABORT, 'postures: DELETE is not allowed'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries: DELETE is not allowed'); END;
CREATE TRIGGER entry_lines_no_delete BEFORE DELETE ON entry_lines BEGIN SELECT RAISE(ABORT, 'entry_lines: DELETE is not allowed'); END;
CREATE TRIGGER orders_no_delete BEFORE DELETE ON orders BEGIN SELECT RAISE(ABORT, 'orders: DELETE is not allowed'); END;
CREATE TRIGGER positions_no_delete BEFORE DELETE ON positions BEGIN SELECT RAISE(ABORT, 'positions: DELETE is not allowed'); END;
CREATE TRIGGER fills_no_delete BEFORE DELETE ON fills BEGIN SELECT RAISE(ABORT, 'fills: DELETE is not allowed'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('postures',1);
COMMIT;
PRAGMA application_id=1279346503;
PRAGMA user_version=3;
