"""Every figure is the report's, to the unit, wherever it is shown; what is too old or unknown never looks fresh."""

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest

from reconcile.builders import MINT, ONE, Book, address, at
from tieout_reconcile import export_report
from tieout_reconcile.reports import bundle
from tieout_web.formatting import age, percent, quantity
from tieout_web.freshness import coverage_ratio
from web.service import fill, served


async def json_of(client: httpx.AsyncClient, path: str, status: int = 200) -> Any:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


async def reported(book: Book, tmp_path: Any) -> dict[str, Any]:
    """The instrument as the signed report has it."""
    path = tmp_path / "report.zip"
    path.write_bytes((await export_report(book.dsn, None, None)).data)
    report = json.loads(bundle.unpack(path)[bundle.REPORT])
    found: dict[str, Any] = report["run"]["instruments"][0]
    return found


async def test_every_figure_of_page_and_api_equals_the_reports(
    client: httpx.AsyncClient, book: Book, tmp_path: Any
) -> None:
    said = await reported(book, tmp_path)
    shown = await json_of(client, "/v1/reserves/AAPLx")
    pairs = {
        "supply": said["supply"],
        "issuer_held": str(int(said["inventory"]) + int(said["in_transit"])),
        "outside": said["circulating"],
        "still_owed": str(int(said["owed_returns"]) + int(said["owed_forced"])),
        "multiplier": said["multiplier"],
        "liability": said["liability"],
        "custody_total": said["custody"],
        "unsettled": said["unsettled"],
        "difference": said["difference"],
    }
    assert {name: shown[name]["value"] for name in pairs} == pairs
    assert shown["verdict"] == shown["last_verdict"] == said["verdict"] == "ties_out"
    page = (await client.get("/instruments/AAPLx")).text
    cells = re.findall(r"<dd[^>]*>(.*?)</dd>", page)
    for name, value in pairs.items():
        places = 16 if name == "multiplier" else 8
        assert quantity(value, places) in cells, name
    overview = (await client.get("/")).text
    for value in (said["liability"], said["custody"]):
        assert f'class="n">{quantity(value)}</td>' in overview
    supply = await json_of(client, "/v1/supply/AAPLx")
    assert sum(int(line["raw"]["value"]) for line in supply["items"]) == int(said["supply"])
    headroom = await json_of(client, "/v1/headroom/AAPLx")
    assert headroom["shares"]["value"] == said["difference"]


async def test_the_compatibility_shapes_say_the_same(client: httpx.AsyncClient, book: Book, tmp_path: Any) -> None:
    said = await reported(book, tmp_path)
    proof = await json_of(client, "/compat/xstocks/proof-of-reserves/AAPLx")
    assert (proof["sharesHeld"], proof["circulatingSupply"]) == (said["custody"], said["liability"])
    assert proof["holdings"] == [{"provider": "alpaca", "quantity": "40.5", "symbol": said["isin"]}]
    # the oldest input's instant, not the moment of the request
    assert proof["timestamp"] == at(90).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert (await json_of(client, "/compat/xstocks/proof-of-reserves"))["nodes"] == [proof]
    accounts = await json_of(client, "/compat/accounts/AAPLx")
    assert (accounts["ripcord"], accounts["ripcordDetails"]) == (False, [])
    assert accounts["accounts"] == [{"accountName": "alpaca", "totalReserve": "40.5", "totalToken": "40.5"}]
    assert (await client.get("/compat/supply/AAPLx/total")).text == "1500"
    assert (await client.get("/compat/supply/AAPLx/circulating")).text == "40.5"


COMPAT = ("/compat/xstocks/proof-of-reserves/AAPLx", "/compat/xstocks/proof-of-reserves", "/compat/accounts/AAPLx",
          "/compat/supply/AAPLx/total", "/compat/supply/AAPLx/circulating")  # fmt: skip


async def test_past_its_limit_a_figure_is_unknown_everywhere_with_its_last_value(book: Book) -> None:
    await fill(book)
    for limits in ({"chain_age_max_s": 1}, {"statement_age_max_s": 1}):
        async with served(book.dsn, **limits) as client:
            shown = await json_of(client, "/v1/reserves/AAPLx")
            assert (shown["verdict"], shown["last_verdict"], shown["fresh"]) == ("unknown", "ties_out", False)
            assert shown["ripcord"]
            assert "too old" in shown["ripcord_details"][0]
            for name in ("supply", "liability", "custody_total", "difference", "coverage", "multiplier"):
                assert shown[name]["value"] is None
                assert shown[name]["last_value"] is not None
            assert shown["custody"][0]["shares"]["value"] is None
            assert (await json_of(client, "/v1/reserves"))["verdict"] == "unknown"
            assert (await json_of(client, "/v1/headroom/AAPLx"))["shares"]["value"] is None
            assert (await json_of(client, "/v1/supply/AAPLx"))["total"]["value"] is None
            for path in COMPAT:
                assert (await client.get(path)).status_code == 503, path
            for path in ("/", "/instruments/AAPLx"):
                page = (await client.get(path)).text
                assert '<td class="n">40.5</td>' not in page
                assert "(last: 40.5)" in page
                assert 'class="verdict unknown"' in page


async def test_the_age_is_that_of_the_oldest_input(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/reserves/AAPLx")
    oldest = datetime.fromisoformat(answer.json()["oldest_input_at"])
    assert oldest == at(90)
    assert abs(int(answer.headers["Tieout-Age-Seconds"]) - (datetime.now(UTC) - oldest).total_seconds()) < 5


async def test_a_verdict_that_does_not_tie_out_pulls_the_ripcord(book: Book) -> None:
    await fill(book, custody="39")
    async with served(book.dsn) as client:
        shown = await json_of(client, "/v1/reserves/AAPLx")
        assert (shown["verdict"], shown["ripcord"], shown["breaks"]) == ("does_not_tie_out", True, 1)
        for path in COMPAT:
            assert (await client.get(path)).status_code == 503, path
        body = await json_of(client, "/compat/accounts/AAPLx", 503)
        assert (body["ripcord"], body["accounts"]) == (True, [])
        counts = await json_of(client, "/v1/breaks")
        assert [(c["code"], c["count"]) for c in counts["items"]] == [("B1", 1)]
        assert "summary" not in json.dumps(counts)
        assert "Do not rely on these figures" in (await client.get("/instruments/AAPLx")).text


async def test_with_the_database_gone_the_last_figures_stay_and_everything_says_so(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(book)
    async with served(book.dsn) as client:
        before = await json_of(client, "/v1/reserves/AAPLx")
        assert (await client.get("/readyz")).json()["checks"]["database"] == "ok"
        name = await book.db.fetchval("select current_database()")
        other = await asyncpg.connect(book.dsn, database="postgres")
        try:
            await other.execute(f'alter database "{name}" allow_connections false')
            await other.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
            for _ in range(100):
                answer = await client.get("/v1/reserves/AAPLx")
                if answer.headers.get("Tieout-Database") == "gone":
                    break
                await asyncio.sleep(0.05)
            assert answer.headers["Tieout-Database"] == "gone"
            assert answer.json() == before
            for path in ("/", "/instruments/AAPLx", "/health"):
                page = await client.get(path)
                assert (page.status_code, "database cannot be reached" in page.text) == (200, True), path
            assert (await client.get("/readyz")).status_code == 503
            refused = await client.get("/v1/events")
            assert refused.status_code == 503
            assert "last read" in refused.json()["detail"]
            assert str(book.dsn) not in refused.text
            assert (await client.get("/healthz")).status_code == 200
        finally:
            await other.execute(f'alter database "{name}" allow_connections true')
            await other.close()
        for _ in range(100):
            if "Tieout-Database" not in (await client.get("/v1/reserves/AAPLx")).headers:
                break
            await asyncio.sleep(0.1)
        assert (await client.get("/v1/events")).status_code == 200
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


async def test_an_empty_database_says_that_nothing_was_reconciled(dsn: str) -> None:
    async with served(dsn) as client:
        answer = await client.get("/v1/reserves")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert "nothing was reconciled yet" in answer.json()["detail"]
        page = await client.get("/", headers={"accept": "text/html"})
        assert (page.status_code, "nothing was reconciled yet" in page.text) == (404, True)
        assert (await client.get("/readyz")).status_code == 503


async def test_as_of_gives_an_earlier_run_and_history_lists_them(client: httpx.AsyncClient) -> None:
    earlier = await json_of(client, "/v1/reserves/AAPLx?as_of=50")
    assert (earlier["as_of"]["slot"], earlier["multiplier"]["value"], earlier["liability"]["value"]) == (39, "1", "30")
    instant = at(60).isoformat().replace("+", "%2B")
    assert (await json_of(client, f"/v1/reserves/AAPLx?as_of={instant}"))["as_of"]["slot"] == 39
    assert (await client.get("/v1/reserves/AAPLx?as_of=3")).status_code == 404
    for bad in ("yesterday", "2026-11-02", "9" * 30, "2026-11-02T10:00:00"):
        assert (await client.get(f"/v1/reserves/AAPLx?as_of={bad}")).status_code == 400, bad
    first = await json_of(client, "/v1/reserves/AAPLx/history?limit=1")
    assert [p["slot"] for p in first["items"]] == [100]
    second = await json_of(client, f"/v1/reserves/AAPLx/history?limit=1&cursor={first['next_cursor']}")
    assert [(p["slot"], p["liability"]) for p in second["items"]] == [(39, "30")]
    assert second["next_cursor"] is None


async def test_movements_are_paged_without_a_gap_or_a_repeat(client: httpx.AsyncClient) -> None:
    whole = (await json_of(client, "/v1/events?limit=200"))["items"]
    assert len(whole) == 6
    paged, cursor = [], ""
    while True:
        answer = await json_of(client, f"/v1/events?limit=2{cursor}")
        paged += answer["items"]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert paged == whole
    assert {e["amount"] for e in whole} == {str(1000 * ONE), str(10 * ONE), str(5 * ONE), str(3 * ONE)}


async def test_multiplier_steps_carry_their_state(client: httpx.AsyncClient, book: Book) -> None:
    steps = (await json_of(client, "/v1/multipliers/AAPLx"))["items"]
    assert [(s["value"], s["state"], s["bits"]) for s in steps] == [
        ("1", "past", "000000000000f03f"),
        ("1.5", "current", "000000000000f83f"),
    ]
    await book.multiplier(60, 1.75, 10**9)
    pending = (await json_of(client, "/v1/multipliers/AAPLx"))["items"][-1]
    assert (pending["value"], pending["state"]) == ("1.75", "pending")
    assert "The multiplier becomes 1.75" in (await client.get("/instruments/AAPLx")).text


async def test_a_figure_leads_to_its_transaction_and_its_account(client: httpx.AsyncClient) -> None:
    event = next(e for e in (await json_of(client, "/v1/events"))["items"] if e["slot"] == 20)
    page = await client.get(f"/transactions/{event['signature']}")
    assert page.status_code == 200
    assert "REQ-1" in page.text
    stranger = next(e for e in (await json_of(client, "/v1/events"))["items"] if e["slot"] == 31)
    text = (await client.get(f"/transactions/{stranger['signature']}")).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text
    account = await client.get(f"/accounts/{address('treasury')}")
    assert (account.status_code, "wallet list" in account.text) == (200, True)
    assert (await client.get(f"/accounts/{MINT}")).status_code == 404
    for bad in ("/accounts/" + "0" * 40, "/transactions/" + "l" * 80):
        assert (await client.get(bad)).status_code == 400, bad


async def test_the_same_bytes_are_not_sent_twice_and_carry_their_headers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/reserves")
    again = await client.get("/v1/reserves", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert answer.headers["access-control-allow-origin"] == "*"
    page = await client.get("/")
    assert "access-control-allow-origin" not in page.headers
    for found in (answer, page):
        assert "script-src 'self'" in found.headers["content-security-policy"]
        assert "unsafe" not in found.headers["content-security-policy"]
        assert found.headers["x-content-type-options"] == "nosniff"


async def test_who_asks_too_often_waits(book: Book) -> None:
    await fill(book)
    async with served(book.dsn, requests_per_s=0.5, requests_burst=3) as client:
        answers = [await client.get("/v1/reserves") for _ in range(5)]
        assert [a.status_code for a in answers[:3]] == [200, 200, 200]
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1


async def test_a_coverage_that_falls_short_by_one_unit_never_reads_as_whole(book: Book) -> None:
    run = await fill(book, custody="40.49999999")
    (result,) = run.instruments
    assert (coverage_ratio(result), percent(coverage_ratio(result))) == ("0.999999", "99.9999 %")


def test_ages_and_quantities_are_written_for_people() -> None:
    assert [percent(text) for text in ("1", "1.002", "0.519967", "0", None)] == [
        "100 %", "100.2 %", "51.9967 %", "0 %", "unknown",
    ]  # fmt: skip
    assert [age(s) for s in (None, 5, 65, 3700, 90_000)] == [
        "of unknown age",
        "5 s",
        "1 min 5 s",
        "1 h 1 min",
        "1 d 1 h",
    ]
    assert [quantity(t) for t in (None, "0", "-1234.5", "1234567.123456789")] == [
        "unknown", "0", "−1,234.5", "1,234,567.12345679",
    ]  # fmt: skip
