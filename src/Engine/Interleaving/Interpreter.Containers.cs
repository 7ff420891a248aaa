using Ndif.Engine.Compiling;
using Ndif.Engine.Kernels;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>The lists and dictionaries that the program makes, and assignments to their items.</summary>
internal sealed partial class Interpreter
{
    /// <summary>
    /// Sets an item of a list or dictionary that the program made. Every other container is a copy, so that an assignment to it would have
    /// no effect: it is refused.
    /// </summary>
    private object? SetItem(CallStatement call, object?[] arguments)
    {
        object? container = arguments[0], index = arguments[1];
        uint node = ((NodeOperand)call.Arguments[0]).Node;
        RequireOwnContainer(call, container, node);
        object? previous = Find(container, index);
        object? value = OwnItem(node, arguments[2]);
        try
        {
            ContainerIndexing.Set(container, index, value, call.Schema.Name);
        }
        catch
        {
            TensorOwnership.DisposeTensors(value);
            throw;
        }
        ReplaceItem(node, previous, value, arguments[2]);
        return null;
    }

    /// <summary>Frees the item of a container whose place another one has taken.</summary>
    /// <param name="original">What was assigned, borrowed: the item has its memory, or is a copy of it.</param>
    private void ReplaceItem(uint container, object? previous, object? item, object? original)
    {
        if (previous is not null) _slots.RemoveBytes(container, previous);
        TensorOwnership.DisposeTensors(previous);
        _slots.AddBytes(container, item, OriginOfItem(container, original));
    }

    private ValueOrigin OriginOfItem(uint container, object? original) =>
        Job.IsSaved(container) ? new ValueOrigin([original]) : default;

    /// <summary>An item that is added to a container. A saved container has copies, which later edits do not change.</summary>
    private object? NewItem(uint container, Operand value)
    {
        using var scope = torch.NewDisposeScope();
        return OwnItem(container, value.Evaluate(_slots));
    }

    private object? OwnItem(uint container, object? item)
    {
        ValueNesting.Require(item, ValueNesting.MaxDepth - 1); // before it is copied
        bool isSaved = Job.IsSaved(container);
        Job.Limits.RequireMemory("A copy of the item", ValueMemory.ItemBytesOf(item) + (isSaved ? ValueMemory.ShapeBytesOf(item) : 0), 0);
        return TensorOwnership.TakeOwnership(isSaved ? TensorOwnership.Copy(item) : TensorOwnership.Alias(item));
    }

    private object? NewContainer(ContainerStatement container)
    {
        using var scope = torch.NewDisposeScope();
        object items = container.Entries is { } entries ? entries.ToDictionary(e => e.Key, e => e.Value.Evaluate(_slots))
            : container.Items.Select(i => i.Evaluate(_slots)).ToList();
        Job.Limits.RequireMemory("The container", ValueMemory.ItemBytesOf(items), 0); // it has copies of the lists in it
        return TensorOwnership.TakeOwnership(TensorOwnership.Alias(items));
    }

    private static object? Find(object? container, object? index) => container switch
    {
        IReadOnlyDictionary<string, object?> map => index is string key ? map.GetValueOrDefault(key) : null,
        List<object?> list when index is not SliceValue => ContainerIndexing.Get(list, index, "setitem_"),
        _ => null,
    };

    private void RequireOwnContainer(CallStatement call, object? container, uint node)
    {
        if (_plan.FindEditedValue(call) is ReadStatement read)
        {
            string name = ModulePaths.DisplayName(read.Point.DefinedPath ?? _plan.Model.Paths[read.Point.Module]);
            if (read.Kind is SiteKind.Inputs)
                throw Errors.CreateException(ErrorCode.BadArgument,
                    container is Array ? "'tuple' object does not support item assignment"
                        : $"An argument of `{name}` cannot be replaced by an assignment to its entry: Kwargs is a copy.",
                    "Assign to the first argument as `module.Input = value`, to one by its name as "
                    + "`module.Inputs = new Inputs([], new() { [\"name\"] = value })`, or edit its tensor: "
                    + "`module.Inputs.Kwargs[\"name\"][..] = value`.");
            if (container is not Array)
                throw Errors.CreateException(ErrorCode.BadArgument,
                    $"An entry of the output of `{name}` cannot be replaced by an assignment: the dictionary is a copy.",
                    "Edit the tensor in it (`module.Output[\"name\"][..] = value`), or assign to the output of the module that computes "
                    + "it (`llm.LmHead.Output = value`).");
        }
        else if (container is not Array && _plan.Statements[node] is ResultStatement or CallStatement { Schema.Name: "getitem" })
        {
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"This {Describe.Kind(container)} is a copy: an assignment to an item of it has no effect.",
                "Assign to an item of a list or map that the program makes (t.List(), t.Map()), and set the whole inner list or map.");
        }
    }
}
