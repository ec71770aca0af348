-- Orders of tokens on other networks. Acts of the issuer that control alerts on beside crossings: mints into
-- inventory and changes of control. Alerts acknowledged by a person. Periods withdrawn by two. How often a source
-- of files is due.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- Which network an order's tokens are on; wallet and signature are that network's.
-- squawk-ignore constraint-missing-not-valid
alter table recon.order_row add column network text collate "C" not null default 'solana'
    check (network <> '' and (network = 'solana' or (raw is null and side <> 'inventory')));

create or replace view recon.orders as
select distinct on (request_id) request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at,
       load, line, fee, network
from recon.order_row order by request_id, load desc;

create or replace view recon.order_versions as
select request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at, load, line, fee, network
from recon.order_row;

-- A mint into the issuer's own wallets, or a control that changes who may do what, or the multiplier.
create table recon.control_act_row (
    act bigint generated always as identity primary key,
    key text collate "C" not null,
    symbol text collate "C" not null,
    mint text collate "C" not null,
    kind text collate "C" not null check (kind in ('inventory_mint', 'authority', 'multiplier')),
    slot bigint not null,
    tx_index integer not null,
    step integer not null,
    child integer not null,
    signature text collate "C" not null,
    at timestamptz not null,
    -- of a mint: how much, shares per raw unit at its instant (null: not known), into which account, whose, its memo
    raw ledger.u64,
    unit numeric,
    account text collate "C",
    owner text collate "C",
    memo text,
    -- of a control: who did it, and what the ledger says of it
    authority text collate "C",
    details jsonb not null,
    batch bigint not null,
    registry_load bigint not null references recon.load_row (load),
    checked_at timestamptz not null default clock_timestamp(),
    unique (mint, key, batch),
    check ((kind = 'inventory_mint') = (raw is not null))
);
create index control_act_row_place on recon.control_act_row (slot, tx_index, step, child, mint);
create index control_act_row_signature on recon.control_act_row (signature);
create index control_act_row_mint on recon.control_act_row (mint, kind, act);

-- The request ids that a mint's memo names.
create table recon.control_act_reference_row (
    reference text collate "C" not null,
    act bigint not null references recon.control_act_row (act),
    primary key (reference, act)
);
create index control_act_reference_row_act on recon.control_act_reference_row (act);

-- A correction took it back, or a later registry says that the wallet is not the issuer's.
create table recon.control_act_withdrawal_row (
    act bigint primary key references recon.control_act_row (act),
    reason text not null,
    at timestamptz not null default clock_timestamp()
);

-- squawk-ignore adding-foreign-key-constraint
alter table recon.control_notice_row add column act bigint references recon.control_act_row (act);
create index control_notice_row_act on recon.control_notice_row (act, notice) where act is not null;

-- Up to which load the acts were judged against the actions and the registry; order files are another matter.
alter table recon.control_state add column acts_load bigint not null default 0;

-- Somebody has seen an alert, and says so. It goes on firing, and its break on ageing.
create table recon.control_acknowledgement_row (
    acknowledgement bigint primary key check (acknowledgement > 0),
    notice bigint not null unique references recon.control_notice_row (notice),
    actor text collate "C" not null,
    at timestamptz not null,
    note text,
    -- null: a session authenticated the actor
    signature text collate "C",
    body text not null,
    entry bigint not null references audit.entry_row (entry)
);

-- An alert that is acknowledged is one that fires, and what is acknowledged is that it began.
create function recon.refuse_acknowledgement() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (
        select from recon.control_notice_row n
        where n.notice = new.notice and n.status = 'firing' and not exists (
            select from recon.control_notice_row l where l.fingerprint = n.fingerprint and l.notice > n.notice)) then
        raise exception 'notice % is no alert that fires', new.notice using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger refuse_acknowledgement before insert on recon.control_acknowledgement_row
    for each row execute function recon.refuse_acknowledgement();

create or replace view recon.alert_notices as
select notice, fingerprint, status, reason, mint, crossing, labels, annotations, starts_at, ends_at, made_at, act
from recon.control_notice_row;

-- Each alert as it stands now, and who acknowledged it since it began to fire.
create or replace view recon.alerts as
select n.fingerprint, n.notice, n.status, n.reason, n.mint, n.crossing, n.labels, n.annotations, n.starts_at, n.ends_at,
       n.made_at, n.act, a.actor as acknowledged_by, a.at as acknowledged_at, a.note as acknowledged_note
from (
    select distinct on (fingerprint)
           fingerprint, notice, status, reason, mint, crossing, labels, annotations, starts_at, ends_at, made_at, act
    from recon.control_notice_row order by fingerprint, notice desc
) n
left join recon.control_acknowledgement_row a on a.notice = n.notice;

create view recon.checked_acts as
select a.act, a.key, a.symbol, a.mint, a.kind, a.slot, a.tx_index, a.step, a.child, a.signature, a.at, a.raw, a.unit,
       a.account, a.owner, a.memo, a.authority, a.details, a.batch, a.registry_load, a.checked_at, w.reason as withdrawn
from recon.control_act_row a left join recon.control_act_withdrawal_row w using (act);

create view recon.alert_acknowledgements as
select acknowledgement, notice, actor, at, note, signature, body, entry from recon.control_acknowledgement_row;

-- The controls of some kinds that a batch appended to some mints, retracted since or not.
create function ledger.controls_of_batch(batch bigint, mints text[], kinds text[]) returns table (
    slot bigint, tx_index integer, step integer, child integer, block_time timestamptz, signature text, kind text,
    mint text, account text, authority text, details jsonb
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select c.slot, c.tx_index, c.step, c.child, c.block_time, c.signature, c.kind, c.mint, c.account, c.authority,
           c.details
    from ledger.control_row c
    where c.batch = $1 and c.mint = any ($2) and c.kind = any ($3) and c.signature <> ''
    order by c.slot, c.tx_index, c.step, c.child
$$;

-- When files of a kind are due, as the registry of a load says: every so often, or at times of business days.
create table recon.source_row (
    load bigint not null references recon.load_row (load),
    kind text collate "C" not null check (kind in ('orders')),
    name text collate "C" not null,
    every_minutes integer check (every_minutes > 0),
    due_at text[],
    time_zone text collate "C",
    calendar text collate "C",
    grace_minutes integer not null check (grace_minutes >= 0),
    primary key (load, kind),
    check ((every_minutes is null) <> (due_at is null)),
    check ((due_at is null) = (time_zone is null))
);

create view recon.sources as
select kind, name, every_minutes, due_at, time_zone, calendar, grace_minutes, load
from recon.source_row where load = (select max(load) from recon.load_row where kind = 'registry');

do $$
declare relation text;
begin
    foreach relation in array array['control_act_row', 'control_act_reference_row', 'control_act_withdrawal_row',
        'control_acknowledgement_row', 'source_row'] loop
        call recon.make_append_only(('recon.' || relation)::regclass);
    end loop;
end $$;

-- A period opened with a wrong end is withdrawn by two, and its name may be opened again: opening tells them apart.
-- squawk-ignore ban-drop-constraint
alter table recon.period_action_row drop constraint period_action_row_period_fkey;
-- squawk-ignore ban-drop-constraint
alter table recon.period_row drop constraint period_row_pkey;
alter table recon.period_row add column opening integer not null default 1;
-- squawk-ignore adding-serial-primary-key-field, constraint-missing-not-valid, disallowed-unique-constraint
alter table recon.period_row add constraint period_row_pkey primary key (period, opening);
alter table recon.period_action_row add column opening integer not null default 1;
-- squawk-ignore adding-foreign-key-constraint, constraint-missing-not-valid
alter table recon.period_action_row add constraint period_action_row_period_fkey
    foreign key (period, opening) references recon.period_row (period, opening);

-- The checks of a period's actions, with the two kinds more.
do $$
declare found text;
begin
    for found in
        select conname from pg_constraint
        where conrelid = 'recon.period_action_row'::regclass and contype = 'c'
          and pg_get_constraintdef(oid) ~ 'reopen'
    loop
        execute format('alter table recon.period_action_row drop constraint %I', found);
    end loop;
end $$;
-- squawk-ignore constraint-missing-not-valid
alter table recon.period_action_row add constraint period_action_row_kind_check
    check (kind in ('propose', 'sign', 'reject', 'ask_reopen', 'reopen', 'ask_withdraw', 'withdraw'));
-- squawk-ignore constraint-missing-not-valid
alter table recon.period_action_row add constraint period_action_row_decides_check
    check ((kind in ('sign', 'reject', 'reopen', 'withdraw')) = (proposal is not null));
-- squawk-ignore constraint-missing-not-valid
alter table recon.period_action_row add constraint period_action_row_note_check
    check (kind not in ('ask_reopen', 'ask_withdraw') or note is not null);

create function recon.withdrawn_by(name text, opening integer) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select a.action from recon.period_action_row a where a.period = $1 and a.opening = $2 and a.kind = 'withdraw'
$$;

-- A name is opened again only when what it stood for is withdrawn.
create function recon.refuse_period() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from recon.period_row p where p.period = new.period
               and recon.withdrawn_by(p.period, p.opening) is null) then
        raise exception 'there is a period % already', new.period using errcode = 'unique_violation';
    end if;
    return new;
end $$;
create trigger refuse_period before insert on recon.period_row
    for each row execute function recon.refuse_period();

-- Whoever writes here, and however: two persons decide, a locked period takes nothing but its reopening, one that
-- was ever locked is never withdrawn, and a withdrawn one takes nothing.
create or replace function recon.refuse_period_action() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    asked recon.period_action_row;
    locked bigint := recon.lock_of(new.period);
begin
    if recon.withdrawn_by(new.period, new.opening) is not null then
        raise exception 'period % is withdrawn: % refused', new.period, new.kind using errcode = 'restrict_violation';
    end if;
    if new.kind in ('propose', 'sign', 'reject') and locked is not null and not exists (
        select from recon.period_action_row p where p.action = new.proposal and p.kind = 'ask_reopen') then
        raise exception 'period % is locked by action %: % refused', new.period, locked, new.kind
            using errcode = 'restrict_violation', hint = 'two persons reopen it, with a reason';
    end if;
    if new.kind in ('ask_reopen', 'reopen') and locked is null then
        raise exception 'period % is not locked: % refused', new.period, new.kind using errcode = 'restrict_violation';
    end if;
    if new.kind in ('ask_withdraw', 'withdraw') and exists (
        select from recon.period_action_row s
        where s.period = new.period and s.opening = new.opening and s.kind = 'sign') then
        raise exception 'period % was locked once: % refused', new.period, new.kind
            using errcode = 'restrict_violation', hint = 'a locked period is reopened, never withdrawn';
    end if;
    if new.kind in ('ask_withdraw', 'withdraw') and exists (
        select from recon.period_row p join recon.period_row mine on mine.period = new.period and mine.opening = new.opening
        where p.to_at > mine.to_at and recon.withdrawn_by(p.period, p.opening) is null) then
        raise exception 'period % is not the last one: % refused', new.period, new.kind
            using errcode = 'restrict_violation', hint = 'the next period begins at its end';
    end if;
    if new.proposal is not null then
        select * into asked from recon.period_action_row p where p.action = new.proposal;
        if asked.period <> new.period or asked.opening <> new.opening
            or (new.kind = 'sign' and asked.kind <> 'propose') or (new.kind = 'reopen' and asked.kind <> 'ask_reopen')
            or (new.kind = 'withdraw' and asked.kind <> 'ask_withdraw')
            or (new.kind = 'reject' and asked.kind not in ('propose', 'ask_reopen', 'ask_withdraw')) then
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

create or replace view recon.period_actions as
select action, period, kind, actor, at, note, run, content, proposal, signature, body, entry, opening
from recon.period_action_row;

-- withdrawn: the action that withdrew it.
create or replace view recon.periods as
select p.period, p.from_at, p.to_at, p.actor, p.at, p.signature, p.body, p.entry, l.action as locked, l.at as locked_at,
       c.run, c.content, p.opening, recon.withdrawn_by(p.period, p.opening) as withdrawn
from recon.period_row p
left join recon.period_action_row l on l.action = recon.lock_of(p.period) and l.opening = p.opening
left join recon.period_action_row c on c.action = l.proposal;
