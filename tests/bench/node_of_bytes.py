"""A node that hands out blocks that are JSON already: threads that copy bytes to sockets, and next to nothing else."""

import json
import multiprocessing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.replay import ReplayNode


def serve(blocks: dict[int, bytes], url: "multiprocessing.Queue[str]") -> None:
    """Serve ``blocks`` (slot → getBlock result) for ever, in a process of its own; tells its address."""
    honest = ReplayNode(dict.fromkeys(blocks))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            method, params = call["method"], call.get("params", [])
            if method == "getBlock" and params[0] in blocks:
                body = blocks[params[0]]
                before, after = b'{"jsonrpc":"2.0","id":%d,"result":' % call["id"], b"}"
            else:
                body = json.dumps({"jsonrpc": "2.0", "id": call["id"], **honest.answer(method, params)}).encode()
                before = after = b""
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(before) + len(body) + len(after)))
            self.end_headers()
            for piece in (before, body, after):
                if piece:
                    self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url.put(f"http://127.0.0.1:{server.server_address[1]}")
        server.serve_forever()
