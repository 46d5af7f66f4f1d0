"""A bot on slixmpp that obeys one JSON command a line and reports what happens to it the same way."""

import asyncio
import json
import logging
import sys

from slixmpp import ClientXMPP


def report(**facts):
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Bot(ClientXMPP):
    def __init__(self, jid, password, port, ca_file):
        super().__init__(jid, password)
        self.port = port
        self.ca_certs = ca_file
        self.wants_connection = False
        self.auto_authorize = None
        self.auto_subscribe = False
        self.enable_direct_tls = False
        self.enable_plaintext = False
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self.register_plugin("xep_0198")
        self.register_plugin("xep_0184", {"auto_ack": True, "auto_request": True})
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("session_resumed", lambda _: report(event="online", resumed=True))
        self.add_event_handler("disconnected", self.lost)
        self.add_event_handler("message", self.heard)
        self.add_event_handler("receipt_received", lambda m: report(event="receipt", id=m["receipt"]))
        self.add_event_handler("presence_subscribe", lambda p: report(event="asked", peer=p["from"].bare))
        self.add_event_handler("presence_available", lambda p: report(event="available", peer=p["from"].bare))
        self.add_event_handler("presence_unavailable", lambda p: report(event="unavailable", peer=p["from"].bare))
        self.add_event_handler("roster_update", self.roster_changed)

    async def started(self, _):
        self.send_presence()
        await self.get_roster()
        report(event="online", resumed=False)

    def lost(self, why):
        report(event="offline", why=str(why))
        if self.wants_connection:
            asyncio.get_running_loop().call_later(0.5, self.go)

    def go(self):
        if self.wants_connection:
            self.connect("127.0.0.1", self.port)

    def heard(self, message):
        if message["type"] in ("chat", "normal") and message["body"]:
            report(event="message", peer=message["from"].bare, body=message["body"], id=message["id"])

    def roster_changed(self, iq):
        for jid, item in iq["roster"]["items"].items():
            report(event="contact", peer=str(jid), subscription=item["subscription"])

    async def obey(self, order):
        verb, peer = order["do"], order.get("peer")
        if verb == "login":
            self.wants_connection = True
            self.go()
        elif verb == "logout":
            self.wants_connection = False
            await self.disconnect()
            report(event="logged-out")
        elif verb == "subscribe":
            self.send_presence(pto=peer, ptype="subscribe")
        elif verb == "approve":
            self.send_presence(pto=peer, ptype="subscribed")
        elif verb == "send":
            message = self.make_message(mto=peer, mbody=order["body"], mtype="chat")
            message["id"] = order["id"]
            message.send()


async def run(make_bot):
    jid, password, port, ca_file, log_file = sys.argv[1:6]
    logging.basicConfig(filename=log_file, level=logging.DEBUG, format="%(asctime)s %(message)s")
    bot = make_bot(jid, password, int(port), ca_file)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        await bot.obey(json.loads(line))


if __name__ == "__main__":
    asyncio.run(run(Bot))
