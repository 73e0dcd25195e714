-- What the stock of a promo code pool is compared with, and when it runs out: defined here alone. The signals, the
-- views, the top-up and the pages call these functions. Source: TU-01, TU-05, PG-05.

-- The level that people have set: top_up_threshold, else notify_below. NULL: none is set.
CREATE OR REPLACE FUNCTION loyalty.promo_code_threshold(top_up_threshold bigint, notify_below bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN coalesce(top_up_threshold, notify_below);

-- Fewer available codes than this are a shortage (TU-01): the threshold, else 1, the last code. No stock is below 0.
CREATE OR REPLACE FUNCTION loyalty.promo_code_level(top_up_threshold bigint, notify_below bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN coalesce(loyalty.promo_code_threshold(top_up_threshold, notify_below), 1);

-- Every level whose crossing is signalled (PG-05): top_up_threshold and notify_below, where they are set, and 1.
CREATE OR REPLACE FUNCTION loyalty.promo_code_levels(top_up_threshold bigint, notify_below bigint) RETURNS bigint[]
LANGUAGE sql IMMUTABLE
RETURN array_remove(ARRAY[top_up_threshold, notify_below, 1::bigint], NULL);

-- The beginning of the time whose takes make the forecast: 14 days of 24 hours before `at`.
CREATE OR REPLACE FUNCTION loyalty.promo_code_forecast_begin(at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN at - make_interval(hours => 14 * 24);

-- Mean codes a day that left the stock in the last 14 days; NULL under 3 days of history.
--
--   takes           codes that left the stock since promo_code_forecast_begin(at)
--   first_at        when the first code of the pool ever left it
--   counted_since   the beginning of a shorter time that `takes` is of; NULL: all 14 days were counted
CREATE OR REPLACE FUNCTION loyalty.promo_code_daily_consumption(
    takes bigint, first_at timestamptz, counted_since timestamptz, at timestamptz
) RETURNS numeric
LANGUAGE sql STABLE
RETURN CASE WHEN extract(epoch FROM at - first_at) / 86400 >= 3
    THEN takes / greatest(
        least(extract(epoch FROM at - coalesce(counted_since, first_at)) / 86400, 14),
        1.0 / 86400)
END;

-- When the last available code goes at that rate; NULL without a rate, for multiple use, or more than 100 years ahead.
CREATE OR REPLACE FUNCTION loyalty.promo_code_run_out(
    multi_use boolean, available bigint, daily_consumption numeric, at timestamptz
) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN CASE WHEN NOT multi_use AND daily_consumption > 0 AND available / daily_consumption <= 36500
    THEN at + make_interval(secs => (available / daily_consumption * 86400)::double precision)
END;
