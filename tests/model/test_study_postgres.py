import contextlib
import threading
import time

import pytest
import test_study
from test_study import FAST, Toy, facts, kill_the_hanging_one, search, start_workers, stored_trials

import postgres
from helpers.errors import OsemnError
from helpers.model.tuning import study as tuning

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing() or "there is a server"),
]

alone = test_study.alone  # the fixture: the study as one worker runs it


@pytest.fixture(scope="module")
def server():
    with postgres.server() as address:
        yield address


@pytest.fixture
def database(server):
    """The address of a database which no test has used before."""
    import sqlalchemy

    name = f"studies_{time.monotonic_ns()}"
    engine = sqlalchemy.create_engine(
        server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.rsplit("/", 1)[0] + f"/{name}"


def test_two_workers_of_which_one_is_killed_finish_the_study_of_one_worker(alone, database, tmp_path):
    trap = tmp_path / "trap"
    trap.touch()
    # both make the tables of the empty database in the same moment
    workers, results = start_workers(2, Toy(pause=0.2, trap=trap), search(), tmp_path, database)
    kill_the_hanging_one(workers, trap)
    assert results.get(timeout=90) == facts(alone)
    assert not list(tmp_path.glob("*.journal"))
    stored = stored_trials(tmp_path, address=database)
    lost = [trial for trial in stored if trial.state.name == "FAIL" and trial.intermediate_values]
    assert len(lost) == 1


def test_three_workers_finish_the_same_study_as_one(alone, database, tmp_path):
    workers, results = start_workers(3, Toy(pause=0.3), search(), tmp_path, database)
    assert [results.get(timeout=90) for _ in workers] == 3 * [facts(alone)]
    stored = stored_trials(tmp_path, address=database)
    ran = [trial for trial in stored if "pid" in trial.user_attrs]
    assert len(ran) == 14  # none ran twice
    assert len({trial.user_attrs["pid"] for trial in ran}) > 1


def test_the_killed_workers_study_goes_on_on_another_machine(alone, database, tmp_path):
    trap = tmp_path / "trap"
    trap.touch()
    workers, _ = start_workers(1, Toy(trap=trap), search(), tmp_path, database)
    kill_the_hanging_one(workers, trap)
    study = tuning.run(Toy(), search(), "toy", folder=tmp_path, address=database, **FAST | {"grace": 1})
    assert facts(study) == facts(alone)


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (postgres.QUOTED, "s3cret%40", "password authentication failed"),
        ("/postgres", "/nothing_there", "does not exist"),
    ],
)
def test_a_refusal_says_what_to_do_and_not_the_password(server, tmp_path, right, wrong, words):
    address = server.replace(right, wrong)
    with pytest.raises(OsemnError) as refused:
        tuning.run(Toy(), search(2), "toy", folder=tmp_path, address=address, **FAST)
    assert words in refused.value.problem
    assert "createdb" in refused.value.remedy
    for secret in (postgres.PASSWORD, postgres.QUOTED, "s3cret"):
        assert secret not in str(refused.value)


def test_a_server_gone_in_mid_study_is_an_error_that_says_so_without_the_password(tmp_path, monkeypatch):
    of_threads = []  # Optuna's heartbeat may end by an error of its own
    monkeypatch.setattr(threading, "excepthook", lambda error: of_threads.append(str(error.exc_value)))
    with contextlib.ExitStack() as running:
        address = running.enter_context(postgres.server())

        def objective(trial):
            running.close()
            return Toy()(trial)

        with pytest.raises(OsemnError, match="failed") as refused:
            tuning.run(objective, search(3), "toy", folder=tmp_path, address=address, **FAST)
        assert "that the server runs" in refused.value.remedy
        for secret in (postgres.PASSWORD, postgres.QUOTED):
            assert not any(secret in text for text in (str(refused.value), *of_threads))
