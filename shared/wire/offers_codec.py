"""What workers offer, to protobuf and back."""

from dataclasses import asdict

from protos.serving.v1 import membership_pb2 as pb
from shared import membership as m
from shared.servable import ServableVersion


def write_offer(offer: m.Offer) -> pb.Offer:
    """An offer as a message."""
    language = None if offer.language is None else pb.LanguageOffer(**asdict(offer.language))
    return pb.Offer(
        servable=offer.what.servable,
        version=offer.what.version,
        methods=[
            pb.OfferedMethod(name=name, inputs=method.inputs, outputs=method.outputs)
            for name, method in sorted(offer.methods.items())
        ],
        capacity=offer.capacity,
        language=language,
    )


def read_offer(offer: pb.Offer) -> m.Offer:
    """An offer from a message."""
    what = ServableVersion(offer.servable, offer.version)
    methods = {
        each.name: m.OfferedMethod(tuple(each.inputs), tuple(each.outputs))
        for each in offer.methods
    }
    language = _read_language_offer(offer.language) if offer.HasField("language") else None
    return m.Offer(what, methods, offer.capacity, language)


def _read_language_offer(offer: pb.LanguageOffer) -> m.LanguageOffer:
    return m.LanguageOffer(
        adapters=tuple(offer.adapters),
        max_model_len=offer.max_model_len,
        slots=offer.slots,
        chat=offer.chat,
        created=offer.created,
        device_type=offer.device_type,
    )
