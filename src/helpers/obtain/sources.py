"""Data sets by name or place: finds the kind of source, checks it, and loads it.

To add a kind of source, write a class with the methods of `Source` and name it in `find`.
"""

from helpers import paths
from helpers.obtain.acquired import Acquired, Source
from helpers.obtain.built_in import Digits, IdxFiles
from helpers.obtain.options import Options
from helpers.obtain.places import idx
from helpers.series import seal

DEFAULTS = Options()


def find(dataset: str) -> Source:
    """Return a data set's source.

    Raises:
        UsageError: there is no such data set or folder.
    """
    paths.check_dataset(dataset)
    kinds = {"digits": Digits, **dict.fromkeys(idx.DATASETS, IdxFiles)}
    if dataset in kinds:
        return kinds[dataset](dataset)
    # imports pandas and SciPy, which built-in sets need later
    from helpers.obtain.own_images import OwnImages

    return OwnImages(dataset)


def fingerprint(dataset: str, options: Options = DEFAULTS) -> str:
    """Return a hash that changes when what `acquire` would read changes; quick, as unchanged images are not opened.

    Raises:
        UsageError: there is no such data set.

    Example:
        `run.note_source("mnist", sources.fingerprint("mnist"))`
    """
    return with_corrections(find(dataset), options)


def with_corrections(source: Source, options: Options) -> str:
    """Return the hash of what a source and the corrections of its labels would give now."""
    of_source = source.fingerprint(options)
    if not options.labels:
        return of_source
    from helpers.obtain import corrections

    return corrections.fingerprint(of_source, options.labels)


def acquire(dataset: str, options: Options = DEFAULTS) -> Acquired:
    """Return a data set, verified, from the first source that has it.

    Args:
        dataset: `"fashion_mnist"`, `"mnist"`, `"digits"`, or the place of one's own images: a folder, a table, an archive,
            or an address.
        options: how to read it.

    Raises:
        UsageError: there is no such data set, or an option does not apply to it.
        AcquisitionError: no source has it, or the cache cannot be written; the message says what to do.
        SealedTestSetError: the running stage may not see the test images.

    Example:
        `sources.acquire("data/pets", Options(image_size=96, color_mode="rgb"))`
    """
    seal.refuse_source()
    source = find(dataset)
    source.check(options)
    if not options.labels:
        return source.load(options)
    from helpers.obtain import corrections

    return corrections.apply(source.load(options), options.labels)
