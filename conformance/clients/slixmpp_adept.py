"""The bot with what slixmpp knows of archives, personal events, nodes, markers and OMEMO. Its orders have a number, and each is answered."""

import asyncio
import base64
import hashlib
import sys
from xml.etree import ElementTree

from omemo.storage import Just, Nothing, Storage
from slixmpp.exceptions import IqError
from slixmpp.plugins import register_plugin
from slixmpp.plugins.xep_0402.stanza import Conference
from slixmpp_omemo import XEP_0384, TrustLevel

from slixmpp_bot import Bot, report, run

BOOKMARKS = "urn:xmpp:bookmarks:1"
NOTE = "{urn:example:note}note"


class Memory(Storage):
    """Keeps keys for as long as the bot lives, over all its logins."""

    def __init__(self):
        super().__init__()
        self.values = {}

    async def _load(self, key):
        return Just(self.values[key]) if key in self.values else Nothing()

    async def _store(self, key, value):
        self.values[key] = value

    async def _delete(self, key):
        self.values.pop(key, None)


class BlindlyTrusting(XEP_0384):
    """OMEMO by the library slixmpp-omemo, which trusts every device it meets first."""

    def plugin_init(self):
        self.memory = Memory()
        super().plugin_init()

    @property
    def storage(self):
        return self.memory

    @property
    def _btbv_enabled(self):
        return True

    async def _prompt_manual_trust(self, manually_trusted, identifier):
        session_manager = await self.get_session_manager()
        for device in manually_trusted:
            await session_manager.set_trust(device.bare_jid, device.identity_key, TrustLevel.TRUSTED.value)


register_plugin(BlindlyTrusting)


class Adept(Bot):
    def __init__(self, *args):
        super().__init__(*args)
        self.is_quiet = False
        for number in ("0060", "0084", "0107", "0153", "0163", "0172", "0280", "0313", "0333", "0380", "0402"):
            self.register_plugin(f"xep_{number}")
        self.register_plugin("xep_0384", module=sys.modules[__name__])
        # XEP-0402 §3.1: the plugin leaves it to the program.
        self["xep_0163"].add_interest(BOOKMARKS)
        self.add_event_handler("user_mood_publish", self.mood_changed)
        self.add_event_handler("user_nick_publish", self.nick_changed)
        self.add_event_handler("avatar_metadata_publish", self.avatar_changed)
        self.add_event_handler("vcard_avatar_update", self.photo_changed)
        self.add_event_handler("pubsub_publish", self.published)
        self.add_event_handler("pubsub_retract", self.retracted)
        self.add_event_handler("marker_displayed", self.displayed)

    async def started(self, event):
        if not self.is_quiet:
            return await super().started(event)
        report(event="online", resumed=False)

    async def heard(self, message):
        if message["type"] not in ("chat", "normal"):
            return
        if not self["xep_0384"].is_encrypted(message):
            return super().heard(message)
        body = await self.decrypted(message)
        if body:
            report(event="message", peer=message["from"].bare, body=body)
            report(event="decrypted", peer=message["from"].bare, body=body)

    async def decrypted(self, message):
        try:
            plain, _ = await self["xep_0384"].decrypt_message(message)
            return plain["body"]
        except Exception as error:
            report(event="undecryptable", peer=message["from"].bare, why=repr(error))
            return None

    def mood_changed(self, message):
        mood = message["pubsub_event"]["items"]["item"]["mood"]
        report(event="mood", peer=message["from"].bare, body=mood["value"] or "")

    def nick_changed(self, message):
        nick = message["pubsub_event"]["items"]["item"]["nick"]
        report(event="nick", peer=message["from"].bare, body=nick["nick"] or "")

    def avatar_changed(self, message):
        report(event="avatar", peer=message["from"].bare, id=message["pubsub_event"]["items"]["item"]["id"])

    def photo_changed(self, presence):
        report(event="photo", peer=presence["from"].bare, id=presence["vcard_temp_update"]["photo"])

    def published(self, message):
        items = message["pubsub_event"]["items"]
        # A second loop over the element itself would begin the library's own loop over it anew.
        for item in list(items.iterables):
            report(event="published", peer=message["from"].bare, node=items["node"], id=item["id"], body=note_in(item))

    def retracted(self, message):
        items = message["pubsub_event"]["items"]
        for item in list(items.iterables):
            report(event="retracted", peer=message["from"].bare, node=items["node"], id=item["id"])

    def displayed(self, message):
        report(event="displayed", peer=message["from"].bare, id=message["displayed"]["id"])

    async def obey(self, order):
        if "number" in order:
            # Its answer may be a stanza that comes after the next order.
            asyncio.get_running_loop().create_task(self.answer(order))
        else:
            await super().obey(order)

    async def answer(self, order):
        number = order.pop("number")
        try:
            value = await getattr(self, "do_" + order.pop("do"))(**order)
            report(event="answer", number=number, value=value)
        except IqError as error:
            report(event="answer", number=number, error=error.condition)
        except Exception as error:
            report(event="answer", number=number, error=repr(error))

    async def do_be_quiet(self, is_quiet):
        self.is_quiet = is_quiet

    async def do_archive(self, peer, page):
        """Bodies, as they came to the archive; encrypted ones are read with the keys of this bot."""
        bodies = []
        async for result in self["xep_0313"].iterate(with_jid=peer, rsm={"max": page}):
            message = result["mam_result"]["forwarded"]["stanza"]
            is_encrypted = self["xep_0384"].is_encrypted(message)
            bodies.append(await self.decrypted(message) if is_encrypted else message["body"])
        return [body for body in bodies if body]

    async def do_mood(self, value):
        await self["xep_0107"].publish_mood(value, "")

    async def do_nick(self, nick):
        await self["xep_0172"].publish_nick(nick)

    async def do_avatar(self, data):
        picture = base64.b64decode(data)
        identifier = hashlib.sha1(picture).hexdigest()
        await self["xep_0084"].publish_avatar(picture)
        await self["xep_0084"].publish_avatar_metadata({"id": identifier, "type": "image/png", "bytes": len(picture)})
        return identifier

    async def do_picture(self, peer, id):
        found = await self["xep_0084"].retrieve_avatar(peer, id)
        return base64.b64encode(found["pubsub"]["items"]["item"]["avatar_data"]["value"]).decode()

    async def do_photo(self, data):
        await self["xep_0153"].set_avatar(avatar=base64.b64decode(data), mtype="image/png")

    async def do_card_photo(self, peer):
        card = await self["xep_0054"].get_vcard(peer, cached=False)
        return base64.b64encode(card["vcard_temp"]["PHOTO"]["BINVAL"]).decode()

    async def do_bookmark(self, room, name):
        conference = Conference()
        conference["name"] = name
        conference["autojoin"] = False
        options = self["xep_0004"].make_form(ftype="submit")
        options.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#publish-options")
        fields = {"persist_items": "true", "max_items": "max", "send_last_published_item": "never", "access_model": "whitelist"}
        for field, value in fields.items():
            options.add_field(var=f"pubsub#{field}", value=value)
        await self["xep_0060"].publish(None, BOOKMARKS, id=room, payload=conference.xml, options=options)

    async def do_bookmarks(self):
        found = await self["xep_0060"].get_items(None, BOOKMARKS)
        return {item["id"]: item["conference"]["name"] for item in found["pubsub"]["items"]}

    async def do_create(self, service, node):
        await self["xep_0060"].create_node(service, node)

    async def do_subscribe(self, service, node):
        return (await self["xep_0060"].subscribe(service, node))["pubsub"]["subscription"]["subscription"]

    async def do_publish(self, service, node, id, body):
        note = ElementTree.Element(NOTE)
        note.text = body
        await self["xep_0060"].publish(service, node, id=id, payload=note)

    async def do_retract(self, service, node, id):
        await self["xep_0060"].retract(service, node, id, notify=True)

    async def do_items(self, service, node):
        found = await self["xep_0060"].get_items(service, node)
        return {item["id"]: note_in(item) for item in found["pubsub"]["items"]}

    async def do_display(self, peer, id):
        self["xep_0333"].send_marker(peer, id, "displayed")

    async def do_omemo_device(self):
        session_manager = await self["xep_0384"].get_session_manager()
        return (await session_manager.get_own_device_information())[0].device_id

    async def do_omemo_devices_of(self, peer):
        found = await self["xep_0060"].get_items(peer, "eu.siacs.conversations.axolotl.devicelist")
        return [int(device.get("id")) for device in found.xml.iter("{eu.siacs.conversations.axolotl}device")]

    async def do_omemo_bundle_keys(self, peer, device):
        found = await self["xep_0060"].get_items(peer, f"eu.siacs.conversations.axolotl.bundles:{device}")
        return len(list(found.xml.iter("{eu.siacs.conversations.axolotl}preKeyPublic")))

    async def do_send_encrypted(self, peer, body):
        message = self.make_message(mto=peer, mbody=body, mtype="chat")
        encrypted, errors = await self["xep_0384"].encrypt_message(message, message["to"])
        encrypted.send()
        return [repr(error) for error in errors]


def note_in(item):
    note = item.xml.find(NOTE)
    return "" if note is None else note.text or ""


if __name__ == "__main__":
    asyncio.run(run(Adept))
