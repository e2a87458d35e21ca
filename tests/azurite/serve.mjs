// Serves Azure Blob Storage on a free port and prints the port. Makes a container for each line of standard input, and ends
// when that ends: with the test that started it.
//
// The server is called as a library, because its program reports usage over the network. AZURITE_ACCOUNTS has the account
// and its key.
import { createHmac } from "node:crypto";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// The packages are below target/, beside a copy of package.json.
const require = createRequire(`${process.argv[2]}/`);
const of = (path) => require(`azurite/dist/src/${path}`);
const { AzuriteTelemetryClient } = of("common/Telemetry");
const { SharedChunkStore } = of("common/persistence/MemoryExtentStore");
const BlobConfiguration = of("blob/BlobConfiguration").default;
const BlobServer = of("blob/BlobServer").default;

AzuriteTelemetryClient.init("", false, undefined);
const host = "127.0.0.1";
const [port, accessLog, debugLog, isLoose, skipsVersionCheck] = [0, false, false, false, true];
const configuration = new BlobConfiguration(
  host, port, undefined, "", "", [], accessLog, undefined, debugLog, undefined, isLoose, skipsVersionCheck,
  "", "", "", undefined, true, true, SharedChunkStore,
);
const server = new BlobServer(configuration);
await server.start();
const address = server.getHttpServerAddress();
console.log(new URL(address).port);

const [account, key] = process.env.AZURITE_ACCOUNTS.split(":");

// https://learn.microsoft.com/en-us/rest/api/storageservices/authorize-with-shared-key
async function createContainer(name) {
  const headers = { "x-ms-date": new Date().toUTCString(), "x-ms-version": "2021-12-02" };
  const signed = [
    "PUT", ...Array(11).fill(""),
    ...Object.entries(headers).map(([header, value]) => `${header}:${value}`),
    `/${account}/${account}/${name}`, "restype:container",
  ].join("\n");
  const signature = createHmac("sha256", Buffer.from(key, "base64")).update(signed, "utf8").digest("base64");
  headers.Authorization = `SharedKey ${account}:${signature}`;
  const reply = await fetch(`${address}/${account}/${name}?restype=container`, { method: "PUT", headers });
  return reply.status;
}

for await (const name of createInterface({ input: process.stdin })) {
  console.log(await createContainer(name));
}
process.exit(0);
