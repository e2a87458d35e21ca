// Serves Azure Blob Storage on a free port, prints the port, and ends when standard input does: with the test that started it.
// The server is called as a library, because its program reports usage over the network.
import { createRequire } from "node:module";

// The packages are below target/, beside a copy of this file's package.json.
const require = createRequire(`${process.argv[2]}/`);
const of = (path) => require(`azurite/dist/src/${path}`);
const { AzuriteTelemetryClient } = of("common/Telemetry");
const { SharedChunkStore } = of("common/persistence/MemoryExtentStore");
const BlobConfiguration = of("blob/BlobConfiguration").default;
const BlobServer = of("blob/BlobServer").default;

AzuriteTelemetryClient.init("", false, undefined);
const configuration = new BlobConfiguration(
  "127.0.0.1", 0, undefined, "", "", [], false, undefined, false, undefined,
  false, true, "", "", "", undefined, true, true, SharedChunkStore,
);
const server = new BlobServer(configuration);
await server.start();
console.log(new URL(server.getHttpServerAddress()).port);
process.stdin.on("end", () => process.exit(0)).resume();
