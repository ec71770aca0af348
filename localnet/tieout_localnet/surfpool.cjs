// Runs surfpool from its npm package and forwards the ports that were asked for to those that it chose.
// Usage: node surfpool.cjs PACKAGE_DIRECTORY HOST PORT SLOT_MS
const net = require('node:net');

const [directory, host, port, slotMs] = process.argv.slice(2);
const { Surfnet } = require(directory);
const surfnet = Surfnet.startWithConfig({
    offline: true,
    blockProductionMode: 'clock',
    slotTimeMs: Number(slotMs),
});

function forward(from, url) {
    const to = Number(new URL(url).port);
    const server = net.createServer((client) => {
        const upstream = net.connect(to, '127.0.0.1');
        const end = () => [client, upstream].forEach((socket) => socket.destroy());
        [client, upstream].forEach((socket) => socket.on('error', end).on('close', end));
        client.pipe(upstream);
        upstream.pipe(client);
    });
    server.on('error', (error) => {
        console.error(`port ${from}: ${error.message}`);
        process.exit(1);
    });
    server.listen(from, host);
}

forward(Number(port), surfnet.rpcUrl);
forward(Number(port) + 1, surfnet.wsUrl);
console.log(`surfpool on ${host}:${port}`);
process.on('SIGTERM', () => process.exit(0));
// The addon runs in threads of its own; this keeps the process, and the object, alive.
setInterval(() => surfnet.rpcUrl, 60_000);
