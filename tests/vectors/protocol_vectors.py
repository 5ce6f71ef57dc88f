"""Computes protocol_vectors.json from the text of the protocol alone, with Python's own hashlib and hmac.

Usage: python3 tests/vectors/protocol_vectors.py > tests/vectors/protocol_vectors.json
"""
import hashlib
import hmac
import json
import unicodedata


def sha256(data):
    return hashlib.sha256(data).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(key, info):
    # RFC 5869 with no salt and one block of output.
    return mac(mac(bytes(32), key), info + b"\x01")


def join(*fields):
    out = b""
    for field in fields:
        data = field.encode() if isinstance(field, str) else field
        out += len(data).to_bytes(2, "big") + data
    return out


def master_of(secret):
    text = unicodedata.normalize("NFKC", secret).encode()
    return hashlib.scrypt(text, salt=b"tightrope/2 cluster", n=2**16, r=8, p=1, dklen=32, maxmem=2**27)


def zbase32(data):
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return "".join("ybndrfg8ejkmcpqxot1uwisza345h769"[int(bits[i:i + 5], 2)] for i in range(0, len(bits), 5))


def generated(entropy):
    body = zbase32(entropy)
    return "tightrope-" + body + zbase32(sha256(join("tightrope/2 secret", body)))[:6]


secrets = [generated(bytes(range(20))), "correct horse battery staple", "ﬁve Ⅷ é cafe\u0301"]
keys = []
for secret in secrets:
    master = master_of(secret)
    keys.append({
        "secret": secret,
        "master": master.hex(),
        "topic": hkdf(master, b"tightrope/2 topic").hex(),
        "authKey": hkdf(master, b"tightrope/2 auth").hex(),
    })

auth_key = bytes.fromhex(keys[0]["authKey"])
handshake = bytes(range(64))
initiator_key = bytes([0x11]) * 32
responder_key = bytes([0x22]) * 32
initiator_nonce = bytes([0x33]) * 32
responder_nonce = bytes([0x44]) * 32
session_id = sha256(join("tightrope/2 session", handshake, initiator_key, responder_key, initiator_nonce, responder_nonce))
session_key = hkdf(auth_key, join("tightrope/2 session key", session_id))
pubkey = "02" + "ab" * 32
body = json.dumps({"type": "bye", "publicKey": pubkey}, separators=(",", ":")).encode()


def sealed(role, seq):
    return mac(session_key, join("message", bytes([role]), seq.to_bytes(8, "big"), body)) + body


request_id = "0123456789abcdef" * 2
channel_point = "cd" * 32 + ":1"
print(json.dumps({
    "generatedSecret": {"entropy": bytes(range(20)).hex(), "secret": secrets[0]},
    "keys": keys,
    "session": {
        "authKey": auth_key.hex(),
        "handshakeHash": handshake.hex(),
        "initiatorKey": initiator_key.hex(),
        "responderKey": responder_key.hex(),
        "initiatorNonce": initiator_nonce.hex(),
        "responderNonce": responder_nonce.hex(),
        "sessionId": session_id.hex(),
        "sessionKey": session_key.hex(),
        "initiatorAuth": "01" + initiator_nonce.hex(),
        "responderAuth": "01" + responder_nonce.hex(),
        "initiatorConfirm": "02" + mac(session_key, join("confirm", b"\x01")).hex(),
        "responderConfirm": "02" + mac(session_key, join("confirm", b"\x00")).hex(),
        "message": {"type": "bye", "publicKey": pubkey},
        "initiatorFrames": [sealed(1, 0).hex(), sealed(1, 1).hex()],
        "responderFrames": [sealed(0, 0).hex(), sealed(0, 1).hex()],
    },
    "nodeProof": {
        "publicKey": pubkey,
        "role": "initiator",
        "text": f"tightrope/2 node {pubkey} session {session_id.hex()} initiator",
    },
    "invoice": {
        "sessionId": session_id.hex(),
        "requestId": request_id,
        "channelPoint": channel_point,
        "tokens": "123456",
        "channelId": str((800000 << 40) | (1 << 16) | 0),
        "tag": (tag := sha256(join("tightrope/2 invoice", session_id, request_id, channel_point, "123456"))[:8].hex()),
        "memo": "tightrope rebalance 800000x1x0 " + tag,
    },
}, indent=2, ensure_ascii=False))
