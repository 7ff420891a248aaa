using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>Reads and writes the slices of invokes in the values of sites.</summary>
internal sealed class SiteValues(HookedModel model)
{
    /// <summary>"transformer.h.0.output", "transformer.h.0.attn.source.split_0.output"</summary>
    public string NameOf(HookPoint point)
    {
        if (point.IsDefined) return $"{point.DefinedPath}.{(point.IsAfter ? "output" : "input")}";
        string operation = point.IsOperation ? $".source.{model.Source(point.Module)!.Sites[point.Operation].Path}" : "";
        return $"{ModulePaths.DisplayName(model.Paths[point.Module])}{operation}.{(point.IsAfter ? "output" : "input")}";
    }

    public Func<int, Axes> OutputAxes(HookPoint point) => element => point.IsDefined ? Axes.Shared : model.OutputAxes(point, element);

    /// <summary>"transformer.h.0"</summary>
    public string PathOf(HookPoint point) => point.DefinedPath ?? model.Paths[point.Module];

    /// <summary>Reads a slice, as new handles outside of any dispose scope.</summary>
    public object? Read(BatchSlice slice, SiteKind kind, HookPoint point, object? value)
    {
        using var scope = torch.NewDisposeScope();
        return TensorOwnership.TakeOwnership(kind switch
        {
            SiteKind.Output => slice.Narrow(value, OutputAxes(point)),
            SiteKind.Hidden => slice.Narrow(FirstTensor(value, point), OutputAxes(point)),
            SiteKind.Input => slice.Narrow(((Arguments)value!).First, FirstArgumentAxes(point, (Arguments)value)),
            _ => ReadInputs(slice, point, (Arguments)value!),
        });
    }

    /// <summary>
    /// Whether <see cref="Read"/> returns a copy that has to be written back after an edit, see <see cref="BatchSlice.IsCopied"/>.
    /// </summary>
    public bool IsCopied(BatchSlice slice, SiteKind kind, HookPoint point, object? value) => kind switch
    {
        SiteKind.Output => Enumerable.Range(0, value is object?[] tuple ? tuple.Length : 1).Any(i => slice.IsCopied(OutputAxes(point)(i))),
        SiteKind.Hidden => slice.IsCopied(OutputAxes(point)(0)),
        SiteKind.Input => slice.IsCopied(FirstArgumentAxes(point, (Arguments)value!)(0)),
        _ => ((Arguments)value!).Positional.Select((_, i) => $"{i}").Concat(((Arguments)value).Keywords.Select(k => k.Key))
            .Any(name => slice.IsCopied(InputAxes(point, name)(0))),
    };

    /// <summary>Whether the first dimension of a site is the tokens of an expert, of which a slice may not be all.</summary>
    public bool IsRouted(HookPoint point) => OutputAxes(point)(0).IsRouted;

    /// <summary>Writes the edits of a copy that <see cref="Read"/> returned into the memory of the value.</summary>
    /// <returns>Whether there were any edits.</returns>
    public bool WriteBack(BatchSlice slice, SiteKind kind, HookPoint point, object? whole, object? part)
    {
        switch (kind)
        {
            case SiteKind.Output:
                return slice.WriteBack(whole, part, OutputAxes(point));
            case SiteKind.Hidden:
                return slice.WriteBack(FirstTensor(whole, point), part, OutputAxes(point));
            case SiteKind.Input:
                return slice.WriteBack(((Arguments)whole!).First, part, FirstArgumentAxes(point, (Arguments)whole));
            default:
                var arguments = (Arguments)whole!;
                var parts = (IReadOnlyList<object?>)part!;
                var (positional, keywords) = ((IReadOnlyList<object?>)parts[0]!, (IReadOnlyDictionary<string, object?>)parts[1]!);
                bool isEdited = false;
                for (int i = 0; i < arguments.Positional.Length; i++)
                    isEdited |= slice.WriteBack(arguments.Positional[i], positional[i], InputAxes(point, $"{i}"));
                foreach (var (key, value) in arguments.Keywords) isEdited |= slice.WriteBack(value, keywords[key], InputAxes(point, key));
                return isEdited;
        }
    }

    /// <summary>Returns the site's value with the slice replaced, in the current dispose scope.</summary>
    /// <param name="copies">As of <c>BatchSlice.Splice</c>.</param>
    public object? Write(BatchSlice slice, SiteKind kind, HookPoint point, object? whole, object? value,
        HashSet<torch.Tensor>? copies = null)
    {
        string name = NameOf(point);
        return kind switch
        {
            SiteKind.Output or SiteKind.Hidden => slice.Splice(whole, value, OutputAxes(point), name, copies),
            SiteKind.Input => ((Arguments)whole!).WithFirst(
                slice.Splice(((Arguments)whole).First, value, FirstArgumentAxes(point, (Arguments)whole), name, copies)),
            _ => WriteInputs(slice, point, (Arguments)whole!, value, name, copies),
        };
    }

    /// <summary>Copies the slice from one value of a site to another one, where their tensors are not the same.</summary>
    public void Copy(BatchSlice slice, HookPoint point, object? from, object? to)
    {
        if (from is not Arguments source)
        {
            slice.Copy(from, to, OutputAxes(point));
            return;
        }
        var target = (Arguments)to!;
        for (int i = 0; i < source.Positional.Length; i++)
            slice.Copy(source.Positional[i], target.Positional[i], InputAxes(point, $"{i}"));
        for (int i = 0; i < source.Keywords.Count; i++)
            slice.Copy(source.Keywords[i].Value, target.Keywords[i].Value, InputAxes(point, source.Keywords[i].Key));
    }

    /// <summary>
    /// Returns the value as the start of an autograd graph, unless it is part of one already; in the current dispose scope. The slices
    /// of it are not leaves, so they may be edited in place.
    /// </summary>
    public static object? RequireGrad(SiteKind kind, object? value) => value switch
    {
        Arguments arguments when kind is SiteKind.Input => arguments.WithFirst(TensorOwnership.MapTensors(arguments.First, RequireGrad)),
        Arguments arguments =>
            new Arguments(Array.ConvertAll(arguments.Positional, RequireGradOfAll),
                [.. arguments.Keywords.Select(k => KeyValuePair.Create(k.Key, RequireGradOfAll(k.Value)))]),
        ModelOutput output => new ModelOutput([.. output.Entries.Select(e => KeyValuePair.Create(e.Key, RequireGradOfAll(e.Value)))]),
        _ => RequireGradOfAll(value),
    };

    private static object? RequireGradOfAll(object? value) => TensorOwnership.MapTensors(value, RequireGrad);

    private static torch.Tensor RequireGrad(torch.Tensor tensor) =>
        tensor.requires_grad || !(torch.is_floating_point(tensor) || torch.is_complex(tensor)) ? tensor
        : tensor.detach().requires_grad_(true).clone();

    /// <summary>
    /// Converts the value that replaces the output of a skipped module to a tensor or a tuple of tensors, in the current dispose scope.
    /// In a batch it must have the rows and tokens of the slice, and floating-point numbers are converted to the type of the model.
    /// </summary>
    public object ToSkipValue(BatchSlice slice, HookPoint point, object? value)
    {
        string name = NameOf(point);
        object?[] elements = value is IReadOnlyList<object?> tuple ? [.. tuple] : [value];
        if (elements.Length == 0 || elements[0] is not torch.Tensor)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"`{name}` can be skipped with a tensor, or with a tuple that begins with one.");
        for (int i = 0; i < elements.Length; i++)
        {
            if (elements[i] is not torch.Tensor tensor) continue;
            if (!slice.Fits(tensor, model.OutputAxes(point, i)))
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"`{name}` cannot be skipped with a tensor of shape [{string.Join(", ", tensor.shape)}]: it does not have this "
                    + "invoke's rows and tokens.");
            if (slice.Batch.BatchSize < 0 || point.IsOperation)
            {
                elements[i] = tensor.alias(); // operations also have other types: masks, float32 within a half-precision model
                continue;
            }
            if (i == 0) ElementCategories.Check(model.DType, tensor.dtype, name);
            // the other elements of a tuple may be indices, such as those of a router
            elements[i] = torch.is_floating_point(tensor) ? tensor.to(model.DType) : tensor.alias();
        }
        return value is torch.Tensor ? elements[0]! : elements;
    }

    private torch.Tensor FirstTensor(object? value, HookPoint point) => value switch
    {
        torch.Tensor tensor => tensor,
        object?[] { Length: > 0 } tuple when tuple[0] is torch.Tensor tensor => tensor,
        ModelOutput output when output.Entries.Select(e => e.Value).OfType<torch.Tensor>().FirstOrDefault() is { } tensor => tensor,
        _ => throw Errors.CreateException(ErrorCode.BadArgument,
            $"`{NameOf(point)}` has no hidden state: it is not a tensor and does not begin with one."),
    };

    private Func<int, Axes> FirstArgumentAxes(HookPoint point, Arguments arguments) =>
        InputAxes(point, arguments.Positional.Length > 0 ? "0" : arguments.Keywords.Count > 0 ? arguments.Keywords[0].Key : "0");

    private Func<int, Axes> InputAxes(HookPoint point, string argument) =>
        element => point.IsDefined ? Axes.Shared : model.InputAxes(point, argument, element);

    private object?[] ReadInputs(BatchSlice slice, HookPoint point, Arguments arguments) =>
    [
        arguments.Positional.Select((value, i) => slice.Narrow(value, InputAxes(point, $"{i}"))).ToArray(),
        arguments.Keywords.ToDictionary(k => k.Key, k => slice.Narrow(k.Value, InputAxes(point, k.Key))),
    ];

    private Arguments WriteInputs(BatchSlice slice, HookPoint point, Arguments arguments, object? value, string name,
        HashSet<torch.Tensor>? copies)
    {
        if (value is not IReadOnlyList<object?> { Count: 2 } parts || parts[0] is not IReadOnlyList<object?> positional
            || parts[1] is not IReadOnlyDictionary<string, object?> keywords)
            throw Errors.CreateException(ErrorCode.BadArgument, $"`{name}` takes (arguments, keywords): a tuple and a dictionary.");
        if (positional.Count > arguments.Positional.Length)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"`{name}` has {arguments.Positional.Length} positional arguments; {positional.Count} were assigned.");
        if (keywords.Keys.FirstOrDefault(key => arguments.Keywords.All(k => k.Key != key)) is { } unknown)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"`{name}` has no argument `{unknown}`; it has {string.Join(", ", arguments.Keywords.Select(k => k.Key))}.");
        return new Arguments(
            [.. arguments.Positional.Select((value, i) => i < positional.Count
                ? slice.Splice(value, positional[i], InputAxes(point, $"{i}"), name, copies) : value)],
            [.. arguments.Keywords.Select(k => keywords.TryGetValue(k.Key, out object? part)
                ? KeyValuePair.Create(k.Key, slice.Splice(k.Value, part, InputAxes(point, k.Key), name, copies)) : k)]);
    }
}
