using System.Reflection;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server.Tests.Support;

/// <summary>Published edits that fail for one key, and of which another gateway deletes a name just before this one.</summary>
public class UnreliableEdits : DispatchProxy
{
    private IPublishedEdits _inner = null!;

    /// <summary>The key whose edits cannot be listed.</summary>
    public string? FailingOwner { get; set; }

    /// <summary>The name that another gateway deletes at the same time.</summary>
    public string? DeletedElsewhere { get; set; }

    public static IPublishedEdits Wrap(IPublishedEdits inner)
    {
        IPublishedEdits proxy = Create<IPublishedEdits, UnreliableEdits>();
        ((UnreliableEdits)proxy)._inner = inner;
        return proxy;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
    {
        if (targetMethod!.Name == nameof(IPublishedEdits.ListAsync) && (string?)args![0] == FailingOwner)
            return Task.FromException<IReadOnlyList<EditsInfo>>(
                Errors.ToException(new Error { Code = ErrorCode.Unavailable, Message = "Unreachable.", Retryable = true }));
        if (targetMethod.Name == nameof(IPublishedEdits.RemoveAsync) && (string?)args![1] == DeletedElsewhere)
            targetMethod.Invoke(_inner, args); // of the other gateway
        return targetMethod.Invoke(_inner, args);
    }
}
