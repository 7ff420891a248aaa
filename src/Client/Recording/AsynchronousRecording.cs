using System.Runtime.CompilerServices;

namespace Ndif.Recording;

/// <summary>
/// Refuses asynchronous code in a recording. A lambda is recorded while it runs; what follows its first await would run when the lambda
/// has returned, and would be recorded elsewhere or not at all.
/// </summary>
internal static class AsynchronousRecording
{
    /// <summary>Throws for an async lambda.</summary>
    /// <exception cref="ArgumentException">The lambda is async.</exception>
    public static void Refuse(Delegate body)
    {
        if (IsAsync(body)) throw LambdaError();
    }

    /// <summary>Throws for an async function that the run calls.</summary>
    /// <exception cref="ArgumentException">The function is async.</exception>
    public static void RefuseCallback(Delegate function)
    {
        if (IsAsync(function))
            throw new ArgumentException("The function of t.Local cannot be async: the pass would not wait for what follows its first "
                + "await. Remove `async`, and wait inside the function.", nameof(function));
    }

    /// <summary>Throws if what a recorded lambda returned is a task.</summary>
    /// <exception cref="ArgumentException">It is a task.</exception>
    public static void RefuseTask(object? result)
    {
        if (result is Task or ValueTask) throw LambdaError();
    }

    /// <summary>The error for a node that is recorded by what a lambda called, after the lambda has returned.</summary>
    public static InvalidOperationException AfterAwait() => new("A method that the lambda of a loop, branch, edit or backward block called "
        + "went on after its first await, when the lambda had returned. A lambda is recorded while it runs: await what it needs before the "
        + "lambda.");

    private static bool IsAsync(Delegate body) => body.Method.IsDefined(typeof(AsyncStateMachineAttribute), inherit: false);

    private static ArgumentException LambdaError() => new("An async lambda cannot be recorded: a trace is recorded while the lambda "
        + "runs, and nothing in it has a result to await. Remove `async`, and await what the trace needs before it.");
}
