-- Trades that are not settled yet, and the verdicts that follow from them. Runs stored under the older
-- rules keep their words.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

-- Versions of a trade by custodian and reference; the highest load counts.
create table recon.trade_row (
    load bigint not null references recon.load_row (load),
    line integer not null,
    custodian text collate "C" not null,
    account text collate "C" not null,
    isin text collate "C" not null,
    reference text collate "C" not null,
    side text collate "C" not null check (side in ('buy', 'sell')),
    quantity numeric not null check (quantity > 0),
    traded_at timestamptz not null,
    settles_on date not null,
    status text collate "C" not null check (status in ('pending', 'settled', 'failed', 'cancelled')),
    status_at timestamptz,
    primary key (load, line),
    unique (load, custodian, reference),
    check ((status = 'pending') = (status_at is null))
);
create index trade_row_reference on recon.trade_row (custodian, reference, load);
call recon.make_append_only('recon.trade_row');

create view recon.trades as
select distinct on (custodian, reference)
       custodian, account, isin, reference, side, quantity, traded_at, settles_on, status, status_at, load, line
from recon.trade_row order by custodian, reference, load desc;

-- squawk-ignore ban-drop-constraint
alter table recon.run_row drop constraint run_row_verdict_check;
-- squawk-ignore constraint-missing-not-valid
alter table recon.run_row add constraint run_row_verdict_check check (verdict in (
    'ties_out', 'ties_out_in_settlement', 'incomplete', 'does_not_tie_out', 'over_backed', 'under_backed'));
-- squawk-ignore ban-drop-constraint
alter table recon.result_row drop constraint result_row_verdict_check;
-- squawk-ignore constraint-missing-not-valid
alter table recon.result_row add constraint result_row_verdict_check check (verdict in (
    'ties_out', 'ties_out_in_settlement', 'incomplete', 'does_not_tie_out', 'over_backed', 'under_backed'));

alter table recon.result_row add column unsettled_shares numeric;
alter table recon.result_row add column custody_traded_shares numeric;

create or replace view recon.results as
select r.run, x.symbol, x.mint, x.isin, x.verdict, x.supply, x.inventory, x.in_transit, x.circulating, x.owed_returns,
       x.owed_forced, x.liability_raw, x.multiplier_bits, x.multiplier, x.liability_shares, x.custody_shares,
       x.difference_shares, x.tolerance_short, x.tolerance_over, x.reasons, x.unsettled_shares, x.custody_traded_shares
from recon.run_row r join recon.result_row x on x.run = r.content_run;
