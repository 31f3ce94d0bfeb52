package httpapi

import (
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/shared/fault"
)

// Pages of lists with a cursor.
const (
	defaultPage = 50
	maxPage     = 200
)

// limitOf reads ?limit=.
func limitOf(c echo.Context) (int, error) {
	text := c.QueryParam("limit")
	if text == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxPage {
		return 0, fault.New(fault.Invalid, "limit is %.20q; it must be 1 to %d, and next_cursor has the rest", text, maxPage)
	}
	return n, nil
}

// instantOf reads an instant of the query; zero if it is not there.
func instantOf(c echo.Context, name string) (time.Time, error) {
	text := c.QueryParam(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fault.New(fault.Invalid, "%s is %.60q; it must be an instant in RFC 3339, like 2030-01-31T08:00:00Z", name, text)
	}
	return t, nil
}

// knownParams refuses a query with parameters that are not among names: a filter
// that is misspelt would let everything through.
func knownParams(c echo.Context, names ...string) error {
	for given := range c.QueryParams() {
		known := false
		for _, name := range names {
			known = known || name == given
		}
		if !known {
			return fault.New(fault.Invalid, "there is no parameter %.40q here; there are %v", given, names)
		}
	}
	return nil
}
