"""XML that a stranger sent, read without entities, external references or a document type."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from tieout_reconcile.errors import BadInput
from tieout_reconcile.files import InputFile, shown

XML_BYTES_MAX = 16 * 1024 * 1024
"""An element of a few bytes takes a hundred in memory, so XML has a lower limit than a file in general."""


def parse_xml(file: InputFile) -> Element:
    """Return the root element. Raises BadInput for anything that is not plain, bounded XML."""
    if len(file.data) > XML_BYTES_MAX:
        raise BadInput(file.name, [f"it is larger than the {XML_BYTES_MAX} bytes that are taken as XML"])
    try:
        root: Element = fromstring(file.data, forbid_dtd=True)
    except DefusedXmlException as refused:
        what = type(refused).__name__
        raise BadInput(file.name, [f"it declares a document type or entities ({what}): a statement has none"]) from None
    except ParseError as bad:
        raise BadInput(file.name, [f"line {bad.position[0]}: it is not XML: {bad}"]) from None
    except (ValueError, LookupError) as bad:
        raise BadInput(file.name, [f"line 1: it is not XML in an encoding that is known: {shown(str(bad))}"]) from None
    return root


def local(element: Element) -> str:
    """Return an element's name without its namespace, so that any version of a message is read."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element, name: str) -> Iterator[Element]:
    """Yield the direct children of a name."""
    return (child for child in element if local(child) == name)


def child(element: Element | None, *path: str) -> Element | None:
    """Return the element at a path of local names, None when it is not there."""
    for name in path:
        element = None if element is None else next(children(element, name), None)
    return element


def text(element: Element | None, *path: str) -> str | None:
    """Return the stripped text at a path, None when it is not there or blank."""
    found = child(element, *path)
    return None if found is None or found.text is None else found.text.strip() or None
