-- Delivery versus payment: the cash leg of an order, what was paid for it, and what a run says is owed and paid.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- What the counterparty pays for an issue, or is paid for a redemption.
-- squawk-ignore constraint-missing-not-valid
alter table recon.order_row add column settlement text collate "C" not null default 'in_kind'
    check (settlement in ('in_kind', 'cash'));
-- squawk-ignore constraint-missing-not-valid
alter table recon.order_row add column cash_amount numeric check (cash_amount > 0);
alter table recon.order_row add column cash_currency text collate "C";
-- squawk-ignore constraint-missing-not-valid
alter table recon.order_row add constraint order_row_cash_check check (
    (settlement = 'cash') = (cash_amount is not null) and (settlement = 'cash') = (cash_currency is not null)
    and not (settlement = 'cash' and side = 'inventory'));

create or replace view recon.orders as
select distinct on (request_id) request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at,
       load, line, fee, network, settlement, cash_amount, cash_currency
from recon.order_row order by request_id, load desc;

create or replace view recon.order_versions as
select request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at, load, line, fee, network,
       settlement, cash_amount, cash_currency
from recon.order_row;

-- Versions of a payment by its reference; the highest load counts.
create table recon.payment_row (
    load bigint not null references recon.load_row (load),
    line integer not null,
    reference text collate "C" not null,
    direction text collate "C" not null check (direction in ('in', 'out')),
    amount numeric not null check (amount > 0),
    currency text collate "C" not null,
    paid_at timestamptz not null,
    source text not null,
    request_id text collate "C",
    account text,
    counterparty text,
    evidence text,
    -- of a stablecoin on Solana: the transaction
    signature text collate "C",
    primary key (load, line),
    unique (load, reference)
);
create index payment_row_key on recon.payment_row (reference, load);
create index payment_row_request on recon.payment_row (request_id) where request_id is not null;

-- The cash of an order in a run, in units of its currency: owed is due by the order as it stands, outstanding the part
-- that is not paid, overdue the part of that whose day is over, overpaid what was paid beyond what was agreed.
create table recon.cash_row (
    run bigint not null,
    symbol text collate "C" not null,
    request_id text collate "C" not null,
    kind text collate "C" not null check (kind in ('payable', 'receivable')),
    currency text collate "C" not null,
    agreed numeric not null check (agreed >= 0),
    owed numeric not null check (owed >= 0),
    paid numeric not null check (paid >= 0),
    returned numeric not null check (returned >= 0),
    outstanding numeric not null check (outstanding between 0 and owed),
    overdue numeric not null check (overdue in (0, outstanding)),
    overpaid numeric not null check (overpaid >= 0),
    state text collate "C" not null,
    owed_since timestamptz,
    due_on date,
    tokens_at timestamptz,
    paid_at timestamptz,
    ahead text collate "C" check (ahead in ('tokens', 'cash')),
    payments text[] not null,
    primary key (run, symbol, request_id, currency),
    foreign key (run, symbol) references recon.result_row (run, symbol)
);

do $$
declare relation text;
begin
    foreach relation in array array['payment_row', 'cash_row'] loop
        call recon.make_append_only(('recon.' || relation)::regclass);
    end loop;
end $$;

create view recon.payments as
select distinct on (reference)
       reference, direction, amount, currency, paid_at, source, request_id, account, counterparty, evidence, signature,
       load, line
from recon.payment_row order by reference, load desc;

create view recon.cash_legs as
select r.run, c.symbol, c.request_id, c.kind, c.currency, c.agreed, c.owed, c.paid, c.returned, c.outstanding, c.overdue,
       c.overpaid, c.state, c.owed_since, c.due_on, c.tokens_at, c.paid_at, c.ahead, c.payments
from recon.run_row r join recon.cash_row c on c.run = r.content_run;

-- By kind and currency, netted over nothing: orders counts those that are not paid in full.
create view recon.payables as
select run, symbol, kind, currency, (count(*) filter (where outstanding > 0))::integer as orders, sum(owed) as owed,
       sum(owed - outstanding) as paid, sum(outstanding) as outstanding, sum(overdue) as overdue,
       sum(overpaid) as overpaid
from recon.cash_legs group by run, symbol, kind, currency;
