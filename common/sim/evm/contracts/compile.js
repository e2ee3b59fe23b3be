// Compiles the stand-ins: node compile.js NODE_MODULES > ../contracts.json
// Prints {name: runtime bytecode} without metadata, so that the same compiler always prints the same bytes.
"use strict";
const fs = require("fs");
const path = require("path");
const solc = require(path.join(path.resolve(process.argv[2]), "solc"));

const names = fs.readdirSync(__dirname).filter((name) => name.endsWith(".sol")).sort();
const sources = Object.fromEntries(
  names.map((name) => [name, { content: fs.readFileSync(path.join(__dirname, name), "utf8") }]),
);
const output = JSON.parse(solc.compile(JSON.stringify({
  language: "Solidity",
  sources,
  settings: {
    evmVersion: "cancun",
    viaIR: true,
    optimizer: { enabled: true, runs: 1 },
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["evm.deployedBytecode.object"] } },
  },
})));
const problems = (output.errors || []).filter((one) => one.severity === "error");
if (problems.length) {
  console.error(problems.map((one) => one.formattedMessage).join("\n"));
  process.exit(1);
}
const found = {};
for (const file of Object.values(output.contracts)) {
  for (const [name, contract] of Object.entries(file)) {
    if (contract.evm.deployedBytecode.object && name !== "Owner") {
      found[name] = "0x" + contract.evm.deployedBytecode.object;
    }
  }
}
const sorted = Object.fromEntries(Object.keys(found).sort().map((name) => [name, found[name]]));
process.stdout.write(JSON.stringify(sorted, null, 1) + "\n");
