// Serves telegram-test-api, as it is, and plays its people as its own client does.
//
// node serve.cjs FOLDER PORT TOKEN: FOLDER holds node_modules. Says "ready", then takes one JSON object a line:
// {"kind": "command" | "message" | "callback", "user": id, "name": "...", "text": "...", "more": {...}}; ends with
// its input.
"use strict";

const path = require("node:path");
const readline = require("node:readline");

const [folder, port, token] = process.argv.slice(2);
const TelegramServer = require(path.resolve(folder, "node_modules/telegram-test-api"));
const server = new TelegramServer({ host: "127.0.0.1", port: Number(port) });

async function play({ kind, user, name, text, more }) {
  const client = server.getClient(token, { userId: user, chatId: user, firstName: name });
  if (kind === "command") {
    await client.sendCommand(client.makeCommand(text, more));
  } else if (kind === "message") {
    await client.sendMessage(client.makeMessage(text, more));
  } else {
    await client.sendCallback(client.makeCallbackQuery(text, more));
  }
}

async function main() {
  await server.start();
  console.log("ready");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await play(JSON.parse(line));
  }
  await server.stop();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
