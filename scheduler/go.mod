module github.com/nightshift/nightshift/scheduler

go 1.26.0

require (
	github.com/nightshift/nightshift/shared v0.0.0
)

replace (
	github.com/nightshift/nightshift/shared => ../shared
)
