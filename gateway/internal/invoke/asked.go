package invoke

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
)

// Headers by which the caller of a background function asks for more than to
// have it accepted, and those that tell what became of it.
const (
	keyHeader       = "Idempotency-Key"
	notBeforeHeader = "Nightshift-Not-Before"
	preferHeader    = "Prefer"
	callbackHeader  = "Nightshift-Callback"

	replayedHeader = "Idempotency-Replayed"
	appliedHeader  = "Preference-Applied"
)

// Limits of what may be asked for.
const (
	maxKey   = 255
	maxDelay = 366 * 24 * time.Hour // a year, whichever
	maxWait  = 30                   // seconds
)

// asked is what the caller of a background function asks for.
type asked struct {
	key      string
	delay    time.Duration // until the first attempt, or
	instant  time.Time     // when that may start; zero: at once
	wait     time.Duration // for the end; 0: not at all
	callback string        // URL; empty: none
}

// read reads the headers of a background call. What is wrong is fault.Invalid,
// with an example of what is right.
func read(h http.Header) (a asked, err error) {
	if a.key, err = Key(h); err != nil {
		return a, err
	}
	if a.delay, a.instant, err = readNotBefore(h); err != nil {
		return a, err
	}
	if a.wait, err = readWait(h); err != nil {
		return a, err
	}
	a.callback, _, err = one(h, callbackHeader, "https://example.com/done")
	return a, err
}

// one reads a header that may stand once.
func one(h http.Header, name, example string) (value string, ok bool, err error) {
	values := h.Values(name)
	switch {
	case len(values) == 0:
		return "", false, nil
	case len(values) > 1:
		return "", false, fault.New(fault.Invalid, "The header %s stands %d times. Send it once, like %s: %s", name, len(values), name, example)
	case strings.TrimSpace(values[0]) == "":
		return "", false, fault.New(fault.Invalid, "The header %s is empty. Leave it out, or send it like %s: %s", name, name, example)
	default:
		return strings.TrimSpace(values[0]), true, nil
	}
}

// Key reads the Idempotency-Key of a request; empty: none. A wrong one is fault.Invalid.
func Key(h http.Header) (string, error) {
	const example = "order-8421-receipt"
	key, _, err := one(h, keyHeader, example)
	if err != nil {
		return "", err
	}
	printable := func(r rune) bool { return r >= ' ' && r <= '~' }
	if len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return !printable(r) }) {
		return "", fault.New(fault.Invalid, "The header %s has %d bytes. It may have 1 to %d, all of them printable ASCII, like %s: %s", keyHeader, len(key), maxKey, keyHeader, example)
	}
	return key, nil
}

// readNotBefore reads an instant or a duration. One that lies in the past is
// none: the call may run at once.
func readNotBefore(h http.Header) (delay time.Duration, instant time.Time, err error) {
	const example = "90m, or 2030-01-31T08:00:00Z"
	text, ok, err := one(h, notBeforeHeader, example)
	if err != nil || !ok {
		return 0, time.Time{}, err
	}
	if delay, err = time.ParseDuration(text); err != nil {
		if instant, err = time.Parse(time.RFC3339, text); err != nil {
			return 0, time.Time{}, fault.New(fault.Invalid, "The header %s is %.60q. It takes a duration or an instant in RFC 3339, like %s: %s", notBeforeHeader, text, notBeforeHeader, example)
		}
	}
	if delay > maxDelay || time.Until(instant) > maxDelay {
		return 0, time.Time{}, fault.New(fault.Invalid, "The header %s is %.60q, which is more than a year from now. Send a time within one, like %s: %s", notBeforeHeader, text, notBeforeHeader, example)
	}
	return delay, instant, nil
}

// readWait reads wait=N among the preferences of a call (RFC 7240). The first
// one counts, and those that are not ours are passed over, as the RFC has it.
func readWait(h http.Header) (time.Duration, error) {
	for _, line := range h.Values(preferHeader) {
		for preference := range strings.SplitSeq(line, ",") {
			preference, _, _ = strings.Cut(preference, ";") // parameters of it
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			value = strings.Trim(strings.TrimSpace(value), `"`)
			seconds, err := strconv.Atoi(value)
			if err != nil || seconds < 1 || seconds > maxWait {
				return 0, fault.New(fault.Invalid, "The header %s asks for wait=%.20s. A call can wait 1 to %d seconds, like %s: wait=10", preferHeader, value, maxWait, preferHeader)
			}
			return time.Duration(seconds) * time.Second, nil
		}
	}
	return 0, nil
}
