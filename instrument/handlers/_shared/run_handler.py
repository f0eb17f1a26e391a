"""
`RunHandler`: for handlers that treat every kind of run alike.
"""

from instrument._audience.handler import BaseCallbackHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._runs.run import Run


class RunHandler(BaseCallbackHandler):
    """
    Hear that runs start and end, whatever their kind.

    No record of the payload is made for it: `run.inputs` and `run.outputs` are read
    from the run by those who want them.
    """

    def run_started(self, run: "Run") -> "Any":
        """
        Hear that *run* starts, where it starts.
        """

    def run_ended(self, run: "Run") -> "Any":
        """
        Hear that *run* has ended, well or not, where it ends: `run.status`, `run.error`.
        """

    def on_chain_start(self, *args: "Any", **kwargs: "Any") -> "Any":
        return self.run_started(kwargs["run"])

    def on_chain_end(self, *args: "Any", **kwargs: "Any") -> "Any":
        return self.run_ended(kwargs["run"])

    on_llm_start = on_chat_model_start = on_tool_start = on_chain_start
    on_retriever_start = on_embedding_start = on_chain_start
    on_llm_end = on_tool_end = on_retriever_end = on_embedding_end = on_chain_end
    on_llm_error = on_chain_error = on_tool_error = on_chain_end
    on_retriever_error = on_embedding_error = on_chain_end
