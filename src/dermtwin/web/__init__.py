"""The clinic's page and the API: `application.create_app` serves one casebook."""
