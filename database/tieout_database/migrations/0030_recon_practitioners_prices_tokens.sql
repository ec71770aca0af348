-- What a practitioner outside says of a report: detached, signed by the practitioner's own key, attached by a person.
-- Dated prices, beside the figures. The mints of currencies in which orders are paid.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

create table recon.practitioner_row (
    statement bigint primary key check (statement > 0),
    report bigint not null references recon.report_row (report),
    -- the practitioner's key and signature over body, and the digest of the file that holds all three
    public_key text collate "C" not null,
    signature text collate "C" not null,
    body text not null,
    digest bytea not null unique check (octet_length(digest) = 32),
    -- who attached it, and what they signed
    actor text collate "C" not null,
    attached_at timestamptz not null default clock_timestamp(),
    attached_body text not null,
    attached_signature text collate "C" not null,
    entry bigint not null references audit.entry_row (entry)
);
create index practitioner_row_report on recon.practitioner_row (report, statement);

-- Whether nobody who ever worked in these books, and no report, has used a key.
create function recon.is_outside(key text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select not exists (select from access.person_row p where p.public_key = $1)
       and not exists (select from recon.report_signature_row s where s.public_key = $1)
$$;

-- Whoever writes here, and however: the issuer makes no statement about itself.
create function recon.refuse_practitioner() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not recon.is_outside(new.public_key) then
        raise exception 'the key % works in these books: a practitioner is none of the issuer''s', new.public_key
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger refuse_practitioner before insert on recon.practitioner_row
    for each row execute function recon.refuse_practitioner();

do $$
begin
    call recon.make_append_only('recon.practitioner_row'::regclass);
end $$;

-- outside: its key still belongs to nobody here; else it is shown nowhere.
create view recon.practitioner_statements as
select p.statement, p.report, p.public_key, p.signature, p.body, encode(p.digest, 'hex') as sha256, p.actor,
       p.attached_at, p.attached_body, p.attached_signature, p.entry, recon.is_outside(p.public_key) as outside
from recon.practitioner_row p;

-- Dated prices: shown beside figures in shares, read by nothing that judges. Of one key the highest load counts.
create table recon.price_row (
    load bigint not null references recon.load_row (load),
    line integer not null,
    isin text collate "C" not null,
    day date not null,
    price numeric not null check (price > 0),
    currency text collate "C" not null,
    source text not null,
    mic text collate "C",
    primary key (load, line),
    unique (load, isin, currency, day)
);
create index price_row_key on recon.price_row (isin, currency, day, load);

create view recon.prices as
select distinct on (isin, currency, day) isin, day, price, currency, source, mic, load, line
from recon.price_row order by isin, currency, day, load desc;

-- The last price of each ISIN and currency on or before a day, as known at a load.
create function recon.last_prices(isins text[], day date, known_load bigint) returns table (
    line integer, isin text, day date, price numeric, currency text, source text, mic text
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select distinct on (p.isin, p.currency) p.line, p.isin, p.day, p.price, p.currency, p.source, p.mic
    from recon.price_row p where p.isin = any ($1) and p.day <= $2 and p.load <= $3
    order by p.isin, p.currency, p.day desc, p.load desc
$$;

-- How old a price may be on the cut-off's day.
alter table recon.instrument_row add column price_days_max integer not null default 5;
-- squawk-ignore constraint-missing-not-valid
alter table recon.instrument_row add constraint instrument_row_price_days_max_check check (price_days_max >= 0);
create or replace view recon.instruments as
select symbol, mint, isin, decimals, name, buffer_shares, valid_from, valid_to, load, chains, chain_age_hours_max,
       bridge_hours_max, late_days_max, redemption_days_max, large_share, inventory_authorised, calendar, price_days_max
from recon.instrument_row where load = (select max(load) from recon.load_row where kind = 'registry');

-- The same in every version of the registry.
create view recon.price_days as select load, symbol, price_days_max from recon.instrument_row;

create table recon.payment_token_row (
    load bigint not null references recon.load_row (load),
    currency text collate "C" not null,
    mint text collate "C" not null,
    decimals integer not null check (decimals >= 0),
    primary key (load, currency)
);
create view recon.payment_tokens as
select currency, mint, decimals, load
from recon.payment_token_row where load = (select max(load) from recon.load_row where kind = 'registry');

do $$
begin
    call recon.make_append_only('recon.price_row'::regclass);
    call recon.make_append_only('recon.payment_token_row'::regclass);
end $$;
