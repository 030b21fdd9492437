"""Names of classes that would be markup, script, a formula or another order of letters if a page took them for more than text."""

RUNS = "document.body.dataset.ran = 1"
TURNED = "\u2069\u202eturned"  # ends an isolation around it, and would reverse the text after it
NAMES = (
    f"</script><script>{RUNS}</script>",
    f'<img src=x onerror="{RUNS}">',
    f'" onfocus="{RUNS}" autofocus x="',
    f"`${{{RUNS}}}` {{{{ 7*7 }}}} {{% x %}}",
    r"US$$ and $\frac{1}{2}$, \(x\)",
    "a \"double\" and a 'single' quote",
    "&lt;b&gt; &amp; <!-- --> ]]>",
    TURNED,
    "\u2067\u2067never closed",
    "קטגוריה 12 (א)",
    "n" * 200,
    "two\nlines\tand a tab",
    "__proto__",
    "constructor",
    "12",
    "👩\u200d👩\u200d👧 é",
)
READS_RIGHT = """([selector, text]) => {
    const walker = document.createTreeWalker(document.querySelector(selector), NodeFilter.SHOW_TEXT);
    let node = walker.nextNode();
    while (!node.data.includes(text)) node = walker.nextNode();
    const range = document.createRange();
    const places = [...text].map((_, number) => {
        range.setStart(node, node.data.indexOf(text) + number);
        range.setEnd(node, range.startOffset + 1);
        return range.getBoundingClientRect().x;
    });
    return places.every((x, number) => number === 0 || x > places[number - 1]);
}"""
"""Says whether the letters of a text in an element stand from left to right."""
