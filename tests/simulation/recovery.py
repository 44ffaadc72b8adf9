"""What a new start may find of all queues together."""

from collections.abc import Mapping

from tests.simulation.model import Found, QueueModel


def recovered(
    models: Mapping[bytes, QueueModel], found: Mapping[bytes, Found], floors: Mapping[bytes, int]
) -> None:
    """Check what a new start of the server has found, and go on from there."""
    matching = {
        name: model.matching(found.get(name), floors[name])
        for name, model in models.items()
        if model.settings.journal
    }
    for name, numbers in matching.items():
        for item_id, (at, target, there) in models[name].left.items():
            # What has gone from here for good has to be there, or have been there.
            lost = min(numbers) >= at and target in matching and max(matching[target]) < there
            if lost:
                raise models[name].fail(f"item {item_id} was moved to {target!r}, and is in none")
    for name, model in models.items():
        model.begin(found.get(name))
