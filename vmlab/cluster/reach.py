"""What is found at an address where no scheduler answered, and what to do about it."""

import socket

_CALL_S = 3.0  # how long a machine may take to take a call


def trouble(address: str, waited_s: float) -> str:
    """Calls once more, by itself, and says what became of that."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CALL_S).close()
    except socket.gaierror as error:
        why = f"{host} is no machine's name here ({error.strerror}): look at the address"
    except ConnectionRefusedError:
        why = (
            "nothing listens there: start its scheduler with `dask scheduler`, which prints its "
            "address, or look at this one"
        )
    except OSError as error:
        said = "its machine does not take the call" if isinstance(error, TimeoutError) else error
        why = f"{said}: look at address, network and firewall"
    else:
        why = (
            "what listens there is no scheduler of Dask's, or takes other certificates: look at "
            "the address that `dask scheduler` prints, tcp:// or tls:// and port (docs/cluster.md)"
        )
    return f"the cluster at {address} does not answer (tried for {waited_s:.0f} s); {why}"
