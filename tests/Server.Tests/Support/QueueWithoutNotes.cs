using System.Reflection;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server.Tests.Support;

/// <summary>A queue that cannot be reached for the notes about followers with a lifetime, and otherwise is the one it wraps.</summary>
public class QueueWithoutNotes : DispatchProxy
{
    private IJobQueue _inner = null!;
    private Func<bool> _isRefused = null!;

    public static IJobQueue Wrap(IJobQueue inner, Func<bool> isRefused)
    {
        IJobQueue proxy = Create<IJobQueue, QueueWithoutNotes>();
        ((QueueWithoutNotes)proxy)._inner = inner;
        ((QueueWithoutNotes)proxy)._isRefused = isRefused;
        return proxy;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
    {
        bool isNote = targetMethod!.Name == nameof(IJobQueue.FollowAsync) && args![2] is TimeSpan lifetime && lifetime > TimeSpan.Zero;
        return isNote && _isRefused()
            ? Task.FromException(Errors.ToException(new Error { Code = ErrorCode.Unavailable, Message = "Unreachable.", Retryable = true }))
            : targetMethod.Invoke(_inner, args);
    }
}
