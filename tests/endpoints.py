"""An OpenAI-compatible endpoint on this machine that fails on purpose."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rlhub.language.judge import EndpointJudge

QUESTION = [{"role": "user", "content": "Which is better? (A) or (B)"}]


class Server:
    """An endpoint that does with each request what a list says, and then answers.

    Attributes:
        script: for each request that comes: an HTTP status to refuse with, "hang" (1.5 s), "hold" (until the end), "drop", "drip" (a byte
            each 50 ms), "slow" (an answer after 0.5 s), "rubbish", the bytes of a reply, a status with a message and headers, or "answer".
        rule: makes of a request's body what to do with it, where the list says nothing.
        asked: the requests' bodies.
        times: when they came, in seconds.
        most: most requests that were being answered at one time.
    """

    def __init__(self):
        self.script, self.asked, self.times, self.most, self._now, self._lock = [], [], [], 0, 0, threading.Lock()
        self.rule, self.ending = lambda body: "answer", threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.asked.append(body)
                    outer.times.append(time.monotonic())
                    what = outer.script.pop(0) if outer.script else outer.rule(body)
                    outer._now += 1
                    outer.most = max(outer.most, outer._now)
                try:
                    self.act(what, body)
                except OSError:
                    pass  # who asked has gone
                finally:
                    with outer._lock:
                        outer._now -= 1

            def act(self, what, body):
                if what == "hang":
                    time.sleep(1.5)
                elif what == "hold":
                    outer.ending.wait(20)
                elif what == "drop":
                    self.connection.close()
                elif what == "drip":
                    self.drip(json.dumps(outer.completion(body)).encode())
                elif what == "rubbish":
                    self.reply(200, b'{"choices": []}')
                elif isinstance(what, bytes):
                    self.reply(200, what)
                elif isinstance(what, tuple):
                    status, message, headers = what
                    self.reply(status, json.dumps({"error": {"message": message}}).encode(), headers)
                elif isinstance(what, int):
                    self.reply(what, b'{"error": {"message": "not now"}}', {"Retry-After": "0"})
                else:
                    time.sleep(0.5 if what == "slow" else 0.02)
                    self.reply(200, json.dumps(outer.completion(body)).encode())

            def drip(self, body):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for byte in body:
                    if outer.ending.wait(0.05):
                        break
                    self.wfile.write(bytes([byte]))

            def reply(self, status, body, headers=()):
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.ending.set()
        self.http.shutdown()
        self.http.server_close()

    @staticmethod
    def completion(body):
        text = body["messages"][-1]["content"].upper()
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        if body.get("logprobs"):
            top = [{"token": token, "logprob": value, "bytes": None} for token, value in (("A", -0.1054), (" B", -2.3026), ("(", -5.0))]
            choice["logprobs"] = {"content": [{"token": "A", "logprob": -0.1054, "bytes": None, "top_logprobs": top}]}
        return {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}


def judge_of(server, tmp_path, **settings):
    """A judge behind a server, with a record in a folder."""
    return EndpointJudge(server.url, "wise", record=tmp_path / "record.jsonl", **({"timeout": 0.5, "retries": 3} | settings))


def said(*texts):
    """A conversation of each text."""
    return [[{"role": "user", "content": text}] for text in texts]
