"""Activated jobs as gateways of several versions write them, read one by one."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

LOGGER = logging.getLogger(__name__)
NO_TENANT = "<default>"


class ActivatedJob(BaseModel):
    """A job as the gateway hands it out. All but its identity may be missing.

    Keys are numbers in 8.6 and texts later; the job's own is called `key`, then `jobKey`.
    """

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    key: str = Field(validation_alias=AliasChoices("jobKey", "key"))
    type: str
    instance_key: str = Field(alias="processInstanceKey")
    element_id: str = Field(default="", alias="elementId")
    process_id: str = Field(default="", alias="processDefinitionId")
    definition_key: str = Field(default="", alias="processDefinitionKey")
    root_key: str | None = Field(default=None, alias="rootProcessInstanceKey")
    business_id: str | None = Field(default=None, alias="businessId")
    tenant: str = Field(default="", alias="tenantId")
    priority: int = 0
    retries: int = 1
    headers: Mapping[str, str] = Field(default_factory=dict, alias="customHeaders")
    variables: dict[str, Any] = Field(default_factory=dict)
    lease_token: str = Field(default="", alias="jobLeaseToken")
    listener_event: str = Field(default="", alias="listenerEventType")

    @field_validator(
        "tenant", "lease_token", "listener_event", "element_id", "process_id", mode="before"
    )
    @classmethod
    def _nothing_is_empty(cls, value: Any) -> Any:
        return "" if value is None else value

    @field_validator("headers", "variables", mode="before")
    @classmethod
    def _none_are_none(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("priority", mode="before")
    @classmethod
    def _no_priority_is_the_usual(cls, value: Any) -> Any:
        return 0 if value is None else value

    @property
    def tenant_id(self) -> str:
        """The tenant, `""` for the one that stands for none."""
        return "" if self.tenant == NO_TENANT else self.tenant


def read_jobs(reply: Any) -> Iterator[ActivatedJob]:
    """Read what was handed out: a job that is odd leaves the others as they are."""
    rows = reply.get("jobs") if isinstance(reply, dict) else None
    for row in rows if isinstance(rows, list) else ():
        try:
            yield ActivatedJob.model_validate(row)
        except ValidationError as error:
            LOGGER.warning("A job cannot be read, and is left to its timeout: %s", error)
