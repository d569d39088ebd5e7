"""A device process, spoken to without a process around it."""

import socket

import pytest

from services.agent.device.load_message import LoadMessage
from services.agent.device.process import DeviceProcess
from services.agent.device.withdrawals import Withdrawals, create_page
from shared.errors import LoadFailed
from shared.membership import Device, ModelFiles


def test_a_key_is_overwritten_however_loading_ends(tmp_path):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = DeviceProcess(theirs, Withdrawals(create_page()))
        files = ModelFiles("toy", "reference", (str(tmp_path / "toy"),), True, (), 8)
        message = LoadMessage(Device("CPU", 0), (files,), "AES-GCM").written()
        secret = bytearray(b"tyger-tyger-brng")
        with pytest.raises(LoadFailed, match="'toy': a dec_key was given"):
            process._load(message, secret)
        assert secret == bytes(16)
        secret = bytearray(b"tyger-tyger-brng")
        process._load(LoadMessage(Device("CPU", 0), (), "AES-GCM").written(), secret)
        assert secret == bytes(16)
