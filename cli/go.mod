module github.com/nightshift/nightshift/cli

go 1.26.0

require (
	github.com/nightshift/nightshift/gateway v0.0.0
	github.com/nightshift/nightshift/scheduler v0.0.0
	github.com/nightshift/nightshift/shared v0.0.0
	github.com/nightshift/nightshift/worker v0.0.0
)

replace (
	github.com/nightshift/nightshift/gateway => ../gateway
	github.com/nightshift/nightshift/scheduler => ../scheduler
	github.com/nightshift/nightshift/shared => ../shared
	github.com/nightshift/nightshift/worker => ../worker
)
