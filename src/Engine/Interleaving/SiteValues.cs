using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Subjects;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>What an invoke sees of a site's value, and what becomes of the value when the invoke puts something there.</summary>
internal sealed class SiteValues(SubjectModel subject)
{
    /// <summary>"transformer.h.0.output", "transformer.h.0.attn.source.split_0.output"</summary>
    public string Name(Point point)
    {
        if (point.IsDefined) return $"{point.Defined}.{(point.After ? "output" : "input")}";
        string path = subject.Paths[point.Module];
        string operation = point.IsOperation ? $".source.{subject.Source(point.Module)!.Sites[point.Operation].Path}" : "";
        return $"{(path.Length == 0 ? "model" : path)}{operation}.{(point.After ? "output" : "input")}";
    }

    public Func<int, Axes> OutputAxes(Point point) => element => point.IsDefined ? Axes.Shared : subject.OutputAxes(point, element);

    /// <summary>"transformer.h.0"</summary>
    public string Path(Point point) => point.Defined ?? subject.Paths[point.Module];

    /// <summary>The view's part, as fresh handles outside of any dispose scope.</summary>
    public object? See(RowView view, SiteKind kind, Point at, object? value)
    {
        using var scope = torch.NewDisposeScope();
        return Ownership.Take(kind switch
        {
            SiteKind.Output => view.Narrow(value, OutputAxes(at)),
            SiteKind.Hidden => view.Narrow(FirstTensor(value, at), OutputAxes(at)),
            SiteKind.Input => view.Narrow(((Arguments)value!).First, FirstAxes(at, (Arguments)value)),
            _ => InputsSeen(view, at, (Arguments)value!),
        });
    }

    /// <summary>True if what <see cref="See"/> gives has to be put back after an edit: see <see cref="RowView.IsApart"/>.</summary>
    public bool IsCopied(RowView view, SiteKind kind, Point at, object? value) => view.IsApart && kind switch
    {
        SiteKind.Output => Enumerable.Range(0, value is object?[] tuple ? tuple.Length : 1).Any(i => OutputAxes(at)(i).IsFlat),
        SiteKind.Hidden => OutputAxes(at)(0).IsFlat,
        SiteKind.Input => FirstAxes(at, (Arguments)value!)(0).IsFlat,
        _ => ((Arguments)value!).Positional.Select((_, i) => $"{i}").Concat(((Arguments)value).Keywords.Select(k => k.Key)).Any(name => InputAxes(at, name)(0).IsFlat),
    };

    /// <summary>Writes the edits of what <see cref="See"/> copied into the value's memory.</summary>
    /// <returns>True if there were any.</returns>
    public bool PutBack(RowView view, SiteKind kind, Point at, object? whole, object? part)
    {
        switch (kind)
        {
            case SiteKind.Output:
                return view.PutBack(whole, part, OutputAxes(at));
            case SiteKind.Hidden:
                return view.PutBack(FirstTensor(whole, at), part, OutputAxes(at));
            case SiteKind.Input:
                return view.PutBack(((Arguments)whole!).First, part, FirstAxes(at, (Arguments)whole));
            default:
                var arguments = (Arguments)whole!;
                var both = (IReadOnlyList<object?>)part!;
                var (positional, keywords) = ((IReadOnlyList<object?>)both[0]!, (IReadOnlyDictionary<string, object?>)both[1]!);
                bool any = false;
                for (int i = 0; i < arguments.Positional.Length; i++) any |= view.PutBack(arguments.Positional[i], positional[i], InputAxes(at, $"{i}"));
                foreach (var (key, value) in arguments.Keywords) any |= view.PutBack(value, keywords[key], InputAxes(at, key));
                return any;
        }
    }

    /// <summary>The site's value with the view's part replaced, in the current dispose scope.</summary>
    public object? Put(RowView view, SiteKind kind, Point at, object? whole, object? value)
    {
        string name = Name(at);
        return kind switch
        {
            SiteKind.Output or SiteKind.Hidden => view.Splice(whole, value, OutputAxes(at), name),
            SiteKind.Input => PutInput(view, at, whole, value),
            _ => InputsWritten(view, at, (Arguments)whole!, value, name),
        };
    }

    /// <summary>All arguments of a module, with the view's part of the first one replaced.</summary>
    public Arguments PutInput(RowView view, Point at, object? whole, object? value) =>
        ((Arguments)whole!).WithFirst(view.Splice(((Arguments)whole).First, value, FirstAxes(at, (Arguments)whole), Name(at)));

    /// <summary>
    /// The value as the beginning of autograd's graph, unless it is part of one already; in the current dispose scope. What is seen of
    /// it is no leaf, so it may be edited in place.
    /// </summary>
    public static object? Follow(SiteKind kind, object? value) => value switch
    {
        Arguments arguments when kind is SiteKind.Input => arguments.WithFirst(Ownership.Map(arguments.First, Follow)),
        Arguments arguments => new Arguments(Array.ConvertAll(arguments.Positional, Each), [.. arguments.Keywords.Select(k => KeyValuePair.Create(k.Key, Each(k.Value)))]),
        ModelOutput output => new ModelOutput([.. output.Entries.Select(e => KeyValuePair.Create(e.Key, Each(e.Value)))]),
        _ => Each(value),
    };

    private static object? Each(object? value) => Ownership.Map(value, Follow);

    private static torch.Tensor Follow(torch.Tensor tensor) =>
        tensor.requires_grad || !(torch.is_floating_point(tensor) || torch.is_complex(tensor)) ? tensor : tensor.detach().requires_grad_(true).clone();

    /// <summary>
    /// What stands for a module's output that is not computed, in the current dispose scope: a tensor or a tuple. In a batch it has the
    /// view's rows and tokens, and gets the model's element type.
    /// </summary>
    public object Instead(RowView view, Point point, object? value)
    {
        string name = Name(point);
        object?[] elements = value is IReadOnlyList<object?> tuple ? [.. tuple] : [value];
        if (elements.Length == 0 || elements[0] is not torch.Tensor)
            throw Errors.Throwable(ErrorCode.BadArgument, $"`{name}` can be skipped with a tensor, or with a tuple that begins with one.");
        for (int i = 0; i < elements.Length; i++)
        {
            if (elements[i] is not torch.Tensor tensor) continue;
            if (!view.Fits(tensor, subject.OutputAxes(point, i)))
                throw Errors.Throwable(ErrorCode.ShapeMismatch, $"`{name}` cannot be skipped with a tensor of shape [{string.Join(", ", tensor.shape)}]: it does not have this invoke's rows and tokens.");
            // operations compute in other types too: masks, float32 within a half-precision model
            elements[i] = view.Pass.Rows < 0 || point.IsOperation || tensor.dtype == subject.Type ? tensor.alias() : tensor.to(subject.Type);
        }
        return value is torch.Tensor ? elements[0]! : elements;
    }

    private torch.Tensor FirstTensor(object? value, Point point) => value switch
    {
        torch.Tensor tensor => tensor,
        object?[] { Length: > 0 } tuple when tuple[0] is torch.Tensor tensor => tensor,
        ModelOutput output when output.Entries.Select(e => e.Value).OfType<torch.Tensor>().FirstOrDefault() is { } tensor => tensor,
        _ => throw Errors.Throwable(ErrorCode.BadArgument, $"`{Name(point)}` has no hidden state: it is not a tensor and does not begin with one."),
    };

    private Func<int, Axes> FirstAxes(Point point, Arguments arguments) =>
        InputAxes(point, arguments.Positional.Length > 0 ? "0" : arguments.Keywords.Count > 0 ? arguments.Keywords[0].Key : "0");

    private Func<int, Axes> InputAxes(Point point, string argument) => element => point.IsDefined ? Axes.Shared : subject.InputAxes(point, argument, element);

    private object?[] InputsSeen(RowView view, Point point, Arguments arguments) =>
    [
        arguments.Positional.Select((value, i) => view.Narrow(value, InputAxes(point, $"{i}"))).ToArray(),
        arguments.Keywords.ToDictionary(k => k.Key, k => view.Narrow(k.Value, InputAxes(point, k.Key))),
    ];

    private Arguments InputsWritten(RowView view, Point point, Arguments arguments, object? value, string name)
    {
        if (value is not IReadOnlyList<object?> { Count: 2 } both || both[0] is not IReadOnlyList<object?> positional || both[1] is not IReadOnlyDictionary<string, object?> keywords)
            throw Errors.Throwable(ErrorCode.BadArgument, $"`{name}` takes (arguments, keywords): a tuple and a dictionary.");
        if (positional.Count > arguments.Positional.Length)
            throw Errors.Throwable(ErrorCode.BadArgument, $"`{name}` has {arguments.Positional.Length} positional arguments; {positional.Count} were assigned.");
        if (keywords.Keys.FirstOrDefault(key => arguments.Keywords.All(k => k.Key != key)) is { } unknown)
            throw Errors.Throwable(ErrorCode.BadArgument, $"`{name}` has no argument `{unknown}`; it has {string.Join(", ", arguments.Keywords.Select(k => k.Key))}.");
        return new Arguments(
            [.. arguments.Positional.Select((value, i) => i < positional.Count ? view.Splice(value, positional[i], InputAxes(point, $"{i}"), name) : value)],
            [.. arguments.Keywords.Select(k => keywords.TryGetValue(k.Key, out object? part)
                ? KeyValuePair.Create(k.Key, view.Splice(k.Value, part, InputAxes(point, k.Key), name)) : k)]);
    }
}
