using System.Text;

namespace Ndif.Tokenizers.Chat.Values;

/// <summary>A macro, or the body of a call block, with the scope where it stands.</summary>
/// <remarks>jinja2/runtime.py, Macro</remarks>
internal sealed class MacroValue(MacroSignature signature, TemplateFrame closure)
{
    public string Name => signature.Name;

    public string Invoke(TemplateArguments arguments)
    {
        RenderContext context = closure.Context;
        context.EnterCall();
        TemplateFrame frame = closure.CreateInner(signature.Symbols!, new StringBuilder());
        List<KeyValuePair<string, object?>> keywords = [.. arguments.Keywords];
        IReadOnlyList<MacroParameter> parameters = signature.Parameters;
        int positional = Math.Min(arguments.Positional.Count, parameters.Count);
        bool hasCaller = positional == parameters.Count && signature.HasCallerParameter;
        for (int i = 0; i < parameters.Count; i++)
        {
            frame.Set(parameters[i].Name, i < positional ? arguments.Positional[i] : Take(parameters[i].Name));
            hasCaller |= i >= positional && parameters[i].Name == "caller";
        }
        if (signature.TakesCaller && !hasCaller)
            frame.Set("caller", Take("caller") is var caller && (caller is null || ReferenceEquals(caller, TemplateFrame.Missing))
                ? new UndefinedValue("the macro was not called by a call block, so 'caller' is undefined") : caller);
        if (signature.TakesKeywords)
            frame.Set("kwargs", new MappingValue(keywords.Select(k => new KeyValuePair<object?, object?>(k.Key, k.Value))));
        else if (keywords.Count > 0)
            throw new ChatTemplateException($"the macro '{Name}' has no parameter '{keywords[0].Key}'");
        if (signature.TakesArguments)
            frame.Set("varargs", new TupleValue([.. arguments.Positional.Skip(parameters.Count)]));
        else if (arguments.Positional.Count > parameters.Count)
            throw new ChatTemplateException($"the macro '{Name}' takes at most {parameters.Count} arguments, not " +
                $"{arguments.Positional.Count}");
        frame.Enter();
        foreach (MacroParameter parameter in parameters)
        {
            if (!ReferenceEquals(frame.Get(parameter.Name), TemplateFrame.Missing)) continue;
            frame.Set(parameter.Name, parameter.Default is { } value ? value.Evaluate(frame)
                : new UndefinedValue($"the parameter '{parameter.Name}' was not given"));
        }
        signature.Body!.Execute(frame);
        context.LeaveCall();
        return frame.Output.ToString();

        object? Take(string name)
        {
            int index = keywords.FindIndex(keyword => keyword.Key == name);
            if (index < 0) return TemplateFrame.Missing;
            object? value = keywords[index].Value;
            keywords.RemoveAt(index);
            return value;
        }
    }

    public object? GetAttribute(string name) => name switch
    {
        "name" => signature.Name.Length == 0 ? null : signature.Name,
        "arguments" => new TupleValue([.. signature.Parameters.Select(parameter => parameter.Name)]),
        "catch_kwargs" => signature.TakesKeywords,
        "catch_varargs" => signature.TakesArguments,
        "caller" => signature.TakesCaller,
        _ => UndefinedValue.OfItem(this, name),
    };
}
