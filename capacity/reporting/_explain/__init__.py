"""Why a service is sized as it is: the facts, and their words."""
