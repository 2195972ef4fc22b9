"""Whose working time counts: public and local days, and units with a calendar of their own."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from docflow.domain.calendars import Calendars, CalendarSettings, WorkingCalendar

OFFICE = {day: ["07:30-11:30", "13:30-17:00"] for day in ("monday", "tuesday", "wednesday", "thursday", "friday")}
MARKET = {day: ["06:00-11:00"] for day in ("tuesday", "thursday", "saturday", "sunday")}


def settings_of(**changes):
    return CalendarSettings.model_validate({"hours": OFFICE, **changes})


def calendar(**changes):
    return WorkingCalendar.of(settings_of(**changes))


def days(*listed):
    return [{"day": day.isoformat(), "name": f"Ngày {day.day}"} for day in listed]


# -- the calendar of Vietnam -----------------------------------------------------------------------------------


def test_the_offices_are_closed_over_tet_2027():
    closed = [date(2027, 2, 1) + timedelta(days=n) for n in range(14)]
    assert [day.day for day in closed if calendar().is_working_day(day)] == [1, 2, 3, 11, 12]


def test_a_saturday_worked_for_a_bridge_day_counts_with_the_hours_of_a_weekday():
    assert [str(span) for span in calendar().spans(date(2026, 8, 22))] == ["07:30-11:30", "13:30-17:00"]
    assert not calendar().is_working_day(date(2026, 8, 31))


def test_a_day_in_lieu_is_off():
    assert not calendar().is_working_day(date(2027, 5, 3))


def test_local_days_win_over_the_public_ones():
    local = calendar(
        extra_days_off=days(date(2027, 2, 11)), extra_working_days=days(date(2027, 2, 20), date(2027, 2, 4))
    )
    assert not local.is_working_day(date(2027, 2, 11))
    assert local.is_working_day(date(2027, 2, 20))
    assert local.is_working_day(date(2027, 2, 4))


def test_without_a_country_only_the_week_counts():
    assert calendar(holidays=None).is_working_day(date(2027, 2, 8))


# -- units -------------------------------------------------------------------------------------------------------

UNITS = {
    "XAP": {"hours": MARKET, "extra_days_off": days(date(2027, 3, 16)), "extra_working_days": days(date(2027, 2, 8))},
    "XAP-VP": {"extra_working_days": days(date(2027, 3, 16))},
    "BERLIN": {"zone": "Europe/Berlin"},
}
AGENCY = settings_of(extra_days_off=days(date(2027, 2, 8), date(2027, 3, 9)), units=UNITS)
CALENDARS = Calendars.of(AGENCY)


def test_a_unit_without_a_calendar_has_that_of_the_nearest_above_or_the_agencys():
    assert CALENDARS.for_units(["XAP-1", "XAP", "UBND"]) is CALENDARS.for_units(["XAP", "UBND"])
    assert CALENDARS.for_units(["VP", "UBND"]) is CALENDARS.for_units(())
    assert CALENDARS.name_for(["XAP-1", "XAP", "UBND"]) == "XAP"
    assert CALENDARS.name_for(["VP", "UBND"]) == ""


def test_a_units_hours_replace_the_week_and_its_days_win_over_the_agencys():
    unit = CALENDARS.for_units(["XAP", "UBND"])
    assert [str(span) for span in unit.spans(date(2027, 3, 14))] == ["06:00-11:00"]
    assert not unit.is_working_day(date(2027, 3, 15)), "a Monday"
    assert not unit.is_working_day(date(2027, 3, 9)), "the agency's day off counts for its units"
    assert not unit.is_working_day(date(2027, 3, 16)), "its own day off"
    assert unit.is_working_day(date(2027, 2, 8)), "its own word wins over the agency's day off and over Tết"
    assert unit.day_off_reason(date(2027, 3, 9)) == "Ngày 9"


def test_a_unit_below_builds_on_the_one_above():
    below = CALENDARS.for_units(["XAP-VP", "XAP", "UBND"])
    assert below.is_working_day(date(2027, 3, 16))
    assert below.is_working_day(date(2027, 2, 8))
    assert [str(span) for span in below.spans(date(2027, 3, 14))] == ["06:00-11:00"]
    assert CALENDARS.name_for(["XAP-VP", "XAP", "UBND"]) == "XAP-VP/XAP"
    assert not CALENDARS.for_units(["XAP-VP", "UBND"]).is_working_day(date(2027, 3, 14)), "no longer below XAP"


def test_a_calendar_is_found_again_by_the_name_it_gave():
    for codes in ((), ("XAP",), ("XAP-VP", "XAP"), ("BERLIN",)):
        assert CALENDARS.by_name(CALENDARS.name_for(codes)) is CALENDARS.for_units(codes)


def test_a_calendar_that_a_unit_has_no_more_is_that_of_the_unit_above():
    assert CALENDARS.by_name("GONE/XAP") is CALENDARS.for_units(["XAP"])
    assert CALENDARS.by_name("GONE") is CALENDARS.for_units(())


def test_a_unit_may_lie_in_another_zone():
    noon = datetime(2027, 3, 3, 8, 0, tzinfo=UTC)
    assert CALENDARS.for_units(["BERLIN"]).end_of_working_day(noon).isoformat() == "2027-03-03T17:00:00+01:00"


def test_equal_settings_share_their_calendars():
    again = CalendarSettings.model_validate(AGENCY.model_dump(mode="json"))
    assert again == AGENCY
    assert again is not AGENCY
    assert Calendars.of(again) is CALENDARS
    assert calendar() is calendar()
    assert Calendars.of(settings_of()).for_units(()) is calendar()


def test_other_settings_have_other_calendars():
    changed = AGENCY.model_copy(update={"units": {}})
    assert Calendars.of(changed) is not CALENDARS
    assert Calendars.of(changed).name_for(["XAP"]) == ""


FEBRUARY = [date(2027, 2, 1) + timedelta(days=n) for n in range(28)]
word = st.dictionaries(st.sampled_from(FEBRUARY), st.booleans(), max_size=12)


def tables(decided):
    return {
        "extra_days_off": days(*(day for day, worked in decided.items() if not worked)),
        "extra_working_days": days(*(day for day, worked in decided.items() if worked)),
    }


@settings(deadline=None, max_examples=50)
@given(word, word.filter(bool), word.filter(bool), st.booleans())
def test_on_a_day_that_several_name_the_nearest_units_word_counts(agency, above, own, market):
    weeks = {"hours": MARKET} if market else {}
    units = {"above": {**tables(above), **weeks}, "own": tables(own)}
    calendars = Calendars.of(settings_of(holidays=None, units=units, **tables(agency)))
    for codes, words in (((), [agency]), (("above",), [above, agency]), (("own", "above"), [own, above, agency])):
        week = (1, 3, 5, 6) if market and codes else (0, 1, 2, 3, 4)
        for day in FEBRUARY:
            said = next((decided[day] for decided in words if day in decided), day.weekday() in week)
            assert calendars.for_units(codes).is_working_day(day) == said


@pytest.mark.parametrize(
    ("unit", "where"),
    [
        ({}, ()),
        ({"hours": {}}, ("hours",)),
        ({"hours": {"monday": ["07:30-11:30", "11:00-17:00"]}}, ("hours",)),
        ({"zone": "Asia/Hanoi"}, ("zone",)),
        ({"holidays": None}, ("holidays",)),
        ({"extra_days_off": days(date(2027, 3, 1), date(2027, 3, 1))}, ()),
    ],
)
def test_a_units_calendar_is_checked_like_the_agencys(unit, where):
    with pytest.raises(ValidationError) as refused:
        settings_of(units={"XAP": unit})
    assert refused.value.errors()[0]["loc"] == ("units", "XAP", *where)


def test_a_units_overlapping_spans_are_refused():
    with pytest.raises(ValidationError, match="spans overlap"):
        settings_of(units={"XAP": {"hours": {"monday": ["07:30-11:30", "11:00-17:00"]}}})


@pytest.mark.parametrize("text", ["22:00-24:00", "00:00-24:00", "07:30-11:30"])
def test_a_span_is_written_as_it_was_read(text):
    (span,) = settings_of(hours={"monday": [text]}).hours.monday
    assert str(span) == text
    assert settings_of(hours={"monday": [text]}).model_dump(mode="json")["hours"]["monday"] == [text]


@pytest.mark.parametrize("text", ["24:00-24:00", "22:00-24:30", "22:00-06:00", "7:30-11:30", "08:00-08:00"])
def test_words_that_are_no_span_are_refused(text):
    with pytest.raises(ValidationError, match=r"span of hours|ends before it begins"):
        settings_of(hours={"monday": [text]})
