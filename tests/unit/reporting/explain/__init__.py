"""Why a service is sized as it is."""
