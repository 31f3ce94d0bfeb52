package examples

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/shared/invocation"
)

func dashboard(s *site) {
	figures := func(want string) func(string) error {
		return func(out string) error {
			var got map[string]any
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			delete(got, "at")
			if text := fmt.Sprint(got); text != want {
				return fmt.Errorf("the figures are %s, want %s", text, want)
			}
			return nil
		}
	}
	s.types("curl -i", has("HTTP/1.1 503 ", "Retry-After: 300"))
	s.types("bin/nightshift schedules trigger", began)
	s.types("curl", figures("map[best:Lantern orders:3 revenue:238]"))
	s.types("curl -X POST", has("Kettle"))
	s.types("bin/nightshift schedules trigger", began)
	s.types("curl", figures("map[best:Lantern orders:4 revenue:259.25]"))
	s.types("curl", has("<title>Dashboard</title>", "/api/dashboard"))
	s.succeeded(s.id, 1, http.StatusNoContent)
}

func gitBackup(s *site) {
	s.types("bin/nightshift schedules trigger", began)
	s.types("curl", has(": customers.json, orders.json"))
	s.types("curl -X POST", has(""))
	s.types("bin/nightshift schedules trigger", began)
	s.types("curl", has(": orders.json"))
	second := s.id
	s.types("bin/nightshift schedules trigger", began)
	s.types("curl", has("nothing has changed"))
	s.types("git", has("Back up customers.json and orders.json", "Back up orders.json", "Run: "+second))

	git := func(args ...string) string {
		s.Helper()
		cmd := exec.CommandContext(s.Context(), "git", append([]string{"-C", filepath.Join(s.kept, "backup.git")}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			s.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	git("fsck", "--strict")
	if got := git("rev-list", "--count", "main"); got != "2\n" {
		s.Errorf("the repository has %s commits, want 2", got)
	}
	if got := git("diff", "--name-only", "main~1", "main"); got != "orders.json\n" {
		s.Errorf("the second commit changes %s, want orders.json", got)
	}
	var customers []struct{ Name string }
	check(s.T, json.Unmarshal([]byte(git("show", "main:customers.json")), &customers))
	var orders []struct{ ID, Cents int }
	check(s.T, json.Unmarshal([]byte(git("show", "main:orders.json")), &orders))
	if got := fmt.Sprint(customers, orders); got != "[{Ada} {Ben}] [{1 2450} {2 18900}]" {
		s.Errorf("the backup has %s", got)
	}
}

func invoices(s *site) {
	s.types("bin/nightshift schedules trigger", began)
	first := s.id
	s.types("bin/nightshift schedules trigger", began)
	s.types("curl", has("2 invoices started"))
	s.succeeded(first, 1, http.StatusOK)
	made := func(n int) func(string) error {
		return func(out string) error {
			var all map[string]struct{ Total int }
			if err := json.Unmarshal([]byte(out), &all); err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			if len(all) != n {
				return fmt.Errorf("%d invoices are made, want %d: %v", len(all), n, slices.Sorted(maps.Keys(all)))
			}
			return nil
		}
	}
	s.types("curl", made(2))
	mails := s.lettersTo("ada@example.com", "ben@example.com") // and nothing twice
	for address, want := range map[string]string{
		"ada@example.com": "ToAdaLantern24.50Blanket39.90Net64.40VAT19%12.24TotalEUR76.64",
		"ben@example.com": "ToBenTent189.00Net189.00VAT19%35.91TotalEUR224.91",
	} {
		number := strings.TrimPrefix(mails[address].subject, "Invoice ")
		text := pdfText(s.T, mails[address].files[number+".pdf"])
		if want = "Invoice" + number + want; text != want {
			s.Errorf("the invoice for %s says\n%s\nwant\n%s", address, text, want)
		}
	}

	s.types("bin/nightshift schedules backfill", has("2026-02-01T05:00:00Z", "2026-03-01T05:00:00Z"))
	s.types("curl", made(6))
	numbers := map[string]int{}
	for _, l := range s.letters() {
		numbers[l.subject]++
	}
	for _, number := range []string{"2026-01-ada", "2026-01-ben", "2026-02-ada", "2026-02-ben"} {
		if numbers["Invoice "+number] == 0 {
			s.Errorf("invoice %s was not mailed", number)
		}
	}
	for number, times := range numbers {
		if times != 1 || len(numbers) != 6 {
			s.Errorf("%s was mailed %d times, and %d numbers in all, want 6 once each", number, times, len(numbers))
		}
	}
}

func cartRecovery(s *site) {
	s.types("bin/nightshift schedules trigger", began)
	first := s.id
	s.types("bin/nightshift schedules trigger", began)
	second := s.id
	s.types("curl", has("attempt 1 ended"))
	s.types("curl", func(out string) error {
		var all map[string]struct{ Sent bool }
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		if len(all) != 2 || !all["1"].Sent || !all["2"].Sent {
			return fmt.Errorf("reminders are %s, want those of carts 1 and 2", out)
		}
		return nil
	})
	for _, id := range []string{first, second} {
		if got := s.ended(id); got.State != invocation.Succeeded {
			s.Errorf("a run ends %s: %+v", got.State, got.Attempts)
		}
	}
	s.types("bin/nightshift schedules trigger", began)
	s.types("curl", has("attempt 1 ended", "succeeded"))
	mails := s.lettersTo("ada@example.com", "ben@example.com")
	check(s.T, has("In your cart: Tent, Kettle")(mails["ben@example.com"].text))
	if got := mails["ada@example.com"].id; got != "<cart-1@carts.example.com>" {
		s.Errorf("the Message-ID is %s", got)
	}
}
