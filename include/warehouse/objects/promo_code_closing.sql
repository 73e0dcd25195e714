-- When a code leaves the stock by itself: its issue window closes, or it expires before; infinity for never. The planner
-- replaces the call by the expression, which is that of promo_code_stock_idx: no SET and no other body, or the index is lost.
CREATE OR REPLACE FUNCTION loyalty.promo_code_closes_at(issue_end timestamptz, available_till timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE
RETURN coalesce(least(issue_end, available_till), 'infinity');

-- The day on which a code's issue window closes, or it expires before: midnight UTC; infinity for never.
CREATE OR REPLACE FUNCTION loyalty.promo_code_closing_day_of(issue_end timestamptz, available_till timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE
RETURN coalesce(date_bin('1 day', least(issue_end, available_till), '2000-01-01Z'), 'infinity');
