-- Shares that are lent out: their recall and the cash held against them. Tokens of other tokens: wrappers.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- Versions of a loan of shares by custodian and reference; the highest load counts. position: whether the custodian's
-- statements still include what is lent (included), or no longer do (left).
create table recon.stock_loan_row (
    load bigint not null references recon.load_row (load),
    line integer not null,
    custodian text collate "C" not null,
    account text collate "C" not null,
    isin text collate "C" not null,
    reference text collate "C" not null,
    quantity numeric not null check (quantity > 0),
    position text collate "C" not null check (position in ('included', 'left')),
    lent_at timestamptz not null,
    document text not null,
    borrower text,
    recalled_at timestamptz check (recalled_at >= lent_at),
    due_on date,
    returned_at timestamptz check (returned_at >= lent_at),
    collateral_amount numeric check (collateral_amount > 0),
    collateral_currency text collate "C",
    primary key (load, line),
    unique (load, custodian, reference),
    check ((recalled_at is null) = (due_on is null)),
    check ((collateral_amount is null) = (collateral_currency is null))
);
create index stock_loan_row_key on recon.stock_loan_row (custodian, reference, load);

call recon.make_append_only('recon.stock_loan_row'::regclass);

create view recon.stock_loans as
select distinct on (custodian, reference)
       custodian, account, isin, reference, quantity, position, lent_at, document, borrower, recalled_at, due_on,
       returned_at, collateral_amount, collateral_currency, load, line
from recon.stock_loan_row order by custodian, reference, load desc;

-- wrapper: the token whose supply this is, of which each is a claim on the token itself; empty: the token itself.
-- escrowed: what of the token the wrapper's escrow holds, in the same unit.
alter table recon.chain_reading_row add column wrapper text collate "C" not null default '';
-- squawk-ignore constraint-missing-not-valid
alter table recon.chain_reading_row add column escrowed numeric check (escrowed >= 0);
-- squawk-ignore constraint-missing-not-valid
alter table recon.chain_reading_row add constraint chain_reading_row_wrapper_check
    check ((wrapper = '') = (escrowed is null));
-- a wrapper is read at the instant at which the token is: what takes the constraint's place stands below
-- squawk-ignore ban-drop-constraint
alter table recon.chain_reading_row drop constraint chain_reading_row_load_mint_network_as_of_key;
-- squawk-ignore constraint-missing-not-valid, disallowed-unique-constraint
alter table recon.chain_reading_row add constraint chain_reading_row_key_wrapper
    unique (load, mint, network, as_of, wrapper);

create or replace view recon.chain_readings as
select distinct on (mint, network, as_of, wrapper)
       mint, network, unit, quantity, issuer_held, decimals, multiplier, block, as_of, source, held, load, line, wrapper,
       escrowed
from recon.chain_reading_row order by mint, network, as_of, wrapper, load desc;

-- As it was, and: the same bytes are the same evidence whatever they were taken in as (one file of a broker's may be
-- statement, movements and trades), and a loan is the same loan in a later version.
create or replace function recon.says_again(load bigint, used bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select $1 = $2 or exists (
        select from recon.load_row a join recon.load_row b on b.load = $2
        left join recon.load_saying_row x on x.load = a.load
        left join recon.load_saying_row y on y.load = b.load
        where a.load = $1 and (
            a.sha256 = b.sha256
            or (a.kind = b.kind and (
                (a.kind in ('trades', 'movements', 'payments', 'loans') and x.digests && y.digests)
                or (cardinality(x.digests) > 0 and x.digests <@ y.digests)))))
$$;
