-- Work on a shortfall: which own assets cover it, and who was told. Periods: opened, proposed with a run,
-- signed by a second person, locked; every row signed by its maker, none ever changed.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

-- squawk-ignore ban-drop-constraint
alter table recon.break_action_row drop constraint break_action_row_kind_check;
-- squawk-ignore constraint-missing-not-valid
alter table recon.break_action_row add constraint break_action_row_kind_check
    check (kind in ('assign', 'explain', 'propose', 'approve', 'reject', 'reopen', 'cover', 'notify'));
-- of a cover: which assets, since when; of a notification: to whom, when
alter table recon.break_action_row add column assets text;
alter table recon.break_action_row add column since timestamptz;
alter table recon.break_action_row add column recipient text;
-- squawk-ignore constraint-missing-not-valid
alter table recon.break_action_row add constraint break_action_row_cover_check
    check (kind <> 'cover' or (assets is not null and since is not null and document is not null and shares is not null));
-- squawk-ignore constraint-missing-not-valid
alter table recon.break_action_row add constraint break_action_row_notify_check
    check (kind <> 'notify' or (recipient is not null and since is not null and document is not null));

create or replace view recon.break_actions as
select action, key, kind, actor, at, note, assignee, line, document, shares, expires_at, proposal, signature, entry, body,
       assets, since, recipient
from recon.break_action_row;

-- By which calendar each instrument's business days count, in every version of the registry; null: by none.
create view recon.instrument_calendars as
select i.load, i.symbol, c.calendar, c.closed, c.weekend
from recon.instrument_row i left join recon.calendar_row c on c.load = i.load and c.calendar = i.calendar;

-- A period (from_at, to_at] of the registry.
create table recon.period_row (
    period text collate "C" primary key,
    from_at timestamptz not null,
    to_at timestamptz not null,
    actor text collate "C" not null,
    at timestamptz not null,
    signature text collate "C" not null,
    body text not null,
    entry bigint not null references audit.entry_row (entry),
    check (from_at < to_at)
);

-- What was done about a period, each with its maker's signature over body.
create table recon.period_action_row (
    action bigint primary key check (action > 0),
    period text collate "C" not null references recon.period_row (period),
    kind text collate "C" not null check (kind in ('propose', 'sign', 'reject', 'ask_reopen', 'reopen')),
    actor text collate "C" not null,
    at timestamptz not null,
    note text,
    -- of a proposal: its run, and all that is signed, as canonical JSON
    run bigint references recon.run_row (run),
    content text,
    -- of a decision: what it decides on
    proposal bigint references recon.period_action_row (action),
    signature text collate "C" not null,
    body text not null,
    entry bigint not null references audit.entry_row (entry),
    check ((kind = 'propose') = (run is not null)),
    check ((kind = 'propose') = (content is not null)),
    check ((kind in ('sign', 'reject', 'reopen')) = (proposal is not null)),
    check (kind <> 'ask_reopen' or note is not null)
);
create index period_action_row_period on recon.period_action_row (period, action);
-- one decision a proposal
create unique index period_action_row_decided on recon.period_action_row (proposal) where proposal is not null;

-- The signature that locks a period; null while it is open.
create function recon.lock_of(name text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select a.action from recon.period_action_row a
    where a.period = $1 and a.kind = 'sign'
      and not exists (select from recon.period_action_row r
                      where r.period = a.period and r.kind = 'reopen' and r.action > a.action)
    order by a.action desc limit 1
$$;

-- Whoever writes here, and however: two persons decide, and a locked period takes nothing but its reopening.
create function recon.refuse_period_action() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    asked recon.period_action_row;
    locked bigint := recon.lock_of(new.period);
begin
    if new.kind in ('propose', 'sign', 'reject') and locked is not null and not exists (
        select from recon.period_action_row p where p.action = new.proposal and p.kind = 'ask_reopen') then
        raise exception 'period % is locked by action %: % refused', new.period, locked, new.kind
            using errcode = 'restrict_violation', hint = 'two persons reopen it, with a reason';
    end if;
    if new.kind in ('ask_reopen', 'reopen') and locked is null then
        raise exception 'period % is not locked: % refused', new.period, new.kind using errcode = 'restrict_violation';
    end if;
    if new.proposal is not null then
        select * into asked from recon.period_action_row p where p.action = new.proposal;
        if asked.period <> new.period
            or (new.kind = 'sign' and asked.kind <> 'propose') or (new.kind = 'reopen' and asked.kind <> 'ask_reopen')
            or (new.kind = 'reject' and asked.kind not in ('propose', 'ask_reopen')) then
            raise exception 'action % is nothing that % decides on', new.proposal, new.kind
                using errcode = 'restrict_violation';
        end if;
        if asked.actor = new.actor then
            raise exception '% made action %: somebody else decides on it', new.actor, new.proposal
                using errcode = 'restrict_violation';
        end if;
    end if;
    return new;
end $$;
create trigger refuse_period_action before insert on recon.period_action_row
    for each row execute function recon.refuse_period_action();

do $$
declare relation text;
begin
    foreach relation in array array['recon.period_row', 'recon.period_action_row'] loop
        execute format('create trigger refuse_truncate before truncate on %s execute function audit.refuse_change()', relation);
        execute format('create trigger refuse_change before update or delete on %s for each row execute function audit.refuse_change()', relation);
    end loop;
end $$;

create view recon.period_actions as
select action, period, kind, actor, at, note, run, content, proposal, signature, body, entry from recon.period_action_row;

-- locked: the action that locks it; run: the run that is its figure.
create view recon.periods as
select p.period, p.from_at, p.to_at, p.actor, p.at, p.signature, p.body, p.entry, l.action as locked, l.at as locked_at,
       c.run, c.content
from recon.period_row p
left join recon.period_action_row l on l.action = recon.lock_of(p.period)
left join recon.period_action_row c on c.action = l.proposal;

-- A report of a locked period is one of its own: of the run, and of the signature that locked it.
-- squawk-ignore adding-foreign-key-constraint
alter table recon.report_row add column lock bigint references recon.period_action_row (action);
-- squawk-ignore ban-drop-constraint
alter table recon.report_row drop constraint report_row_run_digest_key;
-- squawk-ignore constraint-missing-not-valid, disallowed-unique-constraint
alter table recon.report_row add constraint report_row_run_digest_lock_key unique nulls not distinct (run_digest, lock);

create or replace view recon.reports as
select r.report, r.made_at, r.as_of_slot, r.as_of_time, r.known_load, r.verdict, encode(r.digest, 'hex') as sha256,
       r.previous, x.run, r.body, r.run_digest, r.lock, a.period
from recon.report_row r
join recon.run_row x on x.digest = r.run_digest and x.content_run = x.run
left join recon.period_action_row a on a.action = r.lock;
