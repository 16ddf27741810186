"""The snippet of docs/collecting.md, in a real browser on a page of pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import Server, jpeg

GUIDE = Path(__file__).parents[2] / "docs" / "collecting.md"
PAGE = """<!doctype html><title>Cats</title>
<style>.hero { background-image: linear-gradient(red, blue), url(/hero.jpg) } .lit::before { content: "" }</style>
<script>AF_initDataCallback({data: [["https://found.example/whole.jpg?a\\u003d1",600,800], ["https://found.example/page",1,2]]});</script>
<base href="/gallery/">
<img src="a.jpg"><img src="a.jpg#again"><img src="/icon.png">
<img src="/dot.png" data-src="/lazy.jpg"><img data-srcset="/l1.jpg 320w, /l2,x.jpg 640w" src="/dot.png">
<img src="/small.jpg" srcset="/small.jpg 1x, /large.jpg 2x">
<picture><source srcset="/wide.webp 1000w, /narrow.webp 300w" type="image/webp"><img src="/fallback.jpg"></picture>
<a href="/whole.jpg?x=1"><img src="/thumb.jpg"></a><a href="/page.html"><img src="/linked.jpg"></a>
<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><img src="blob:x"><img src="http://["><img>
<div class="hero lit">text</div>
<a class="iusc" m='{"murl":"https://found.example/bing.jpg"}'>x</a><a class="iusc" m="{">x</a>
"""


@pytest.mark.browser
def test_the_snippet_saves_the_links_of_a_page(browser, server: Server, tmp_path: Path) -> None:
    (snippet,) = re.findall(r"^```js\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
    for seed, name in enumerate("/gallery/a /hero /lazy /small /large /thumb /linked /fallback".split()):
        server.on(f"{name}.jpg", jpeg(seed, side_px=100))
    server.on("/icon.png", jpeg(50, side_px=16))
    server.on("/dot.png", jpeg(51, side_px=1))

    async def page(request) -> None:
        await request.answer(PAGE.encode(), Content_Type="text/html")

    opened = browser.new_page()
    opened.goto(server.on("/cats", page))
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    with opened.expect_download() as saved:
        opened.evaluate(snippet)
    assert saved.value.suggested_filename == "links.txt"
    saved.value.save_as(tmp_path / "links.txt")
    own = "/gallery/a.jpg /lazy.jpg /l2,x.jpg /large.jpg /wide.webp /whole.jpg?x=1 /linked.jpg /hero.jpg".split()
    expected = [server.url + path for path in own]
    assert (tmp_path / "links.txt").read_text().splitlines() == [
        *expected,
        "https://found.example/bing.jpg",
        "https://found.example/whole.jpg?a=1",
    ]
    assert [url for url in asked if not url.startswith("blob:")] == []
