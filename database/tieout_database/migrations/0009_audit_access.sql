-- Who did what: people and their keys, the work on breaks, who imported which file, and one
-- hash-chained log of all of it. Nothing here is updated or deleted; a later row supersedes.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

create schema audit;
create schema access;

create function audit.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '%.% is append-only: % refused', tg_table_schema, tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation', hint = 'what was done stays; do the opposite and it is logged too';
end $$;

create table audit.entry_row (
    entry bigint primary key check (entry > 0),
    at timestamptz not null,
    actor text not null,
    action text collate "C" not null,
    subject text not null,
    -- canonical JSON; the hash covers these very bytes
    details text not null,
    prev_hash bytea not null check (octet_length(prev_hash) = 32),
    hash bytea not null check (octet_length(hash) = 32)
);

-- A field as bytes that no other field's content can imitate: its length, a colon, itself.
create function audit.framed(field text) returns bytea language sql immutable strict set search_path = pg_catalog, pg_temp as $$
    select convert_to(octet_length(convert_to($1, 'UTF8')) || ':', 'UTF8') || convert_to($1, 'UTF8')
$$;

create function audit.instant_text(at timestamptz) returns text
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
    select to_char($1 at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- The one way into the log. Entries are numbered and chained under a lock held until commit.
create function audit.append(actor text, action text, subject text, details text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    last audit.entry_row;
    number bigint;
    moment timestamptz;
    previous bytea;
begin
    perform pg_advisory_xact_lock(7401685240);
    select * into last from audit.entry_row order by entry desc limit 1;
    number := coalesce(last.entry, 0) + 1;
    previous := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
    moment := date_trunc('microseconds', clock_timestamp());
    insert into audit.entry_row (entry, at, actor, action, subject, details, prev_hash, hash)
    values (number, moment, $1, $2, $3, $4, previous,
            sha256(previous || audit.framed(number::text) || audit.framed(audit.instant_text(moment))
                   || audit.framed($1) || audit.framed($2) || audit.framed($3) || audit.framed($4)));
    return number;
end $$;
revoke execute on function audit.append(text, text, text, text) from public;

create view audit.entries as
select entry, at, actor, action, subject, details, prev_hash, hash from audit.entry_row;

-- A person: a key, roles. The row with the highest version counts; no role at all is nobody.
create table access.person_row (
    name text collate "C" not null,
    version integer not null check (version > 0),
    public_key text collate "C",
    roles text[] not null,
    entry bigint not null references audit.entry_row (entry),
    primary key (name, version),
    check (roles <@ array['viewer', 'preparer', 'approver', 'auditor', 'admin'])
);

create view access.people as
select p.name, p.version, p.public_key, p.roles, e.at as since, e.actor as changed_by
from (select distinct on (name) * from access.person_row order by name, version desc) p
join audit.entry_row e using (entry);

-- Every key that somebody ever acted by: a signature is checked against the one in force when it was made.
create view access.person_keys as
select name, version, public_key, entry from access.person_row;

-- Who handed in a file, where it was handed in under a name.
create table recon.load_actor_row (
    load bigint primary key references recon.load_row (load),
    actor text collate "C" not null,
    entry bigint not null references audit.entry_row (entry)
);

-- Work on a break, by its key, which is the same in every run that finds it.
create table recon.break_action_row (
    action bigint primary key check (action > 0),
    key text collate "C" not null,
    kind text collate "C" not null check (kind in ('assign', 'explain', 'propose', 'approve', 'reject', 'reopen')),
    actor text collate "C" not null,
    at timestamptz not null,
    note text,
    assignee text collate "C",
    -- of a proposal: a line of the closed list, its evidence, how much of the break it explains, until when
    line text collate "C",
    document bigint references recon.load_row (load),
    shares numeric check (shares > 0),
    expires_at timestamptz,
    -- of an approval or a rejection: the proposal
    proposal bigint references recon.break_action_row (action),
    -- the actor's Ed25519 signature over body; null where a session authenticated the actor
    signature text collate "C",
    body text not null,
    entry bigint not null references audit.entry_row (entry),
    check ((kind = 'propose') = (line is not null and document is not null and shares is not null and expires_at is not null)),
    check ((kind in ('approve', 'reject')) = (proposal is not null))
);
-- a break's life is asked for by its key
create index finding_row_key on recon.finding_row (key, run);
create index break_action_row_key on recon.break_action_row (key, action);
-- one decision a proposal
create unique index break_action_row_decided on recon.break_action_row (proposal) where proposal is not null;

do $$
declare relation text;
begin
    foreach relation in array array['audit.entry_row', 'access.person_row', 'recon.load_actor_row', 'recon.break_action_row'] loop
        execute format('create trigger refuse_truncate before truncate on %s execute function audit.refuse_change()', relation);
        execute format('create trigger refuse_change before update or delete on %s for each row execute function audit.refuse_change()', relation);
    end loop;
end $$;

create view recon.break_actions as
select action, key, kind, actor, at, note, assignee, line, document, shares, expires_at, proposal, signature, entry, body
from recon.break_action_row;

-- The first run that found each break, and the last that looked.
create view recon.break_lives as
select f.key, min(f.id) as id, min(r.run) as first_run, max(r.run) as last_run, min(r.ran_at) as first_ran_at,
       min(coalesce(f.at, r.as_of_time)) as event_at
from recon.run_row r join recon.finding_row f on f.run = r.content_run
where f.severity = 'break'
group by f.key;

create view recon.load_actors as select load, actor, entry from recon.load_actor_row;
