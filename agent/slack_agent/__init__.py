"""An agent that answers questions from Slack: one call around your own `think`.

    import slack_agent

    async def think(question: slack_agent.Question) -> str:
        return f"You said: {question.text}"

    slack_agent.run(think)

agent/README.md says what is promised, and docs/agent-protocol.md what goes over the wire. In reading order:
    payload.py    what an invocation brings: the question, and the work record that stands for it
    history.py    what was said before a question, and how a model is told of it
    shown.py      what is shown of an answer while it is being thought
    files.py      the files that came with a question, and how a model is shown them
    images.py     which images a model takes
    canvas.py     a canvas as text
    journal.py    the calls of tools that change something, which the next attempt is told of
    settle.py     the calls of agent-settle, which keeps the work record and posts to Slack
    worker.py     takes invocations: claims each question, and gives all of them back when the process must end
    work.py       one question, from the claim to its end
    usage.py      how many tokens of a model were used
    turns.py      the questions of a session come one after another
    together.py   several questions of a thread that are answered together
    thought.py    runs `think`, stops it, and leaves behind what cannot be stopped
    patience.py   asks again when nobody knows what came of a call
    server.py     the server of AgentCore Runtime around it, and what happens at SIGTERM
    settings.py   the environment variables
    trace.py      the X-Ray trace that a question belongs to
    thinking/     examples of `think`: an echo, a model of Amazon Bedrock, a model with tools by Strands Agents
    log.py        the log, in which no line contains what was said
"""

from slack_agent.files import CannotRead, File, FileContent
from slack_agent.history import Said, messages
from slack_agent.journal import Call, CannotCall, NoLongerOurs
from slack_agent.payload import Event, InvalidPayload, Question
from slack_agent.server import app, attach, lifespan, run
from slack_agent.settings import Settings, WrongSetting
from slack_agent.settle import Settle
from slack_agent.thought import Think
from slack_agent.work import Timing
from slack_agent.worker import Unclaimed, Worker

__version__ = "2.0.0"

__all__ = ["Call", "CannotCall", "CannotRead", "Event", "File", "FileContent", "InvalidPayload", "NoLongerOurs", "Question", "Said", "Settings", "Settle", "Think",
           "Timing", "Unclaimed", "Worker", "WrongSetting", "app", "attach", "lifespan", "messages", "run"]
