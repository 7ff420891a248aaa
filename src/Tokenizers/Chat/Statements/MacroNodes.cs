using System.Text;

namespace Ndif.Tokenizers.Chat.Statements;

/// <summary>A parameter of a macro and its default; null if it has none.</summary>
internal sealed record MacroParameter(string Name, TemplateExpression? Default);

/// <summary>The name and parameters of a macro, or of the body of a call block.</summary>
/// <remarks>jinja2/compiler.py, macro_body</remarks>
internal sealed class MacroSignature(string name, IReadOnlyList<MacroParameter> parameters)
{
    private const string Caller = "caller", Keywords = "kwargs", Arguments = "varargs";

    public string Name => name;

    public IReadOnlyList<MacroParameter> Parameters => parameters;

    public ScopeSymbols? Symbols { get; private set; }

    public TemplateBody? Body { get; private set; }

    public bool TakesCaller { get; private set; }

    public bool TakesKeywords { get; private set; }

    public bool TakesArguments { get; private set; }

    public bool HasCallerParameter => parameters.Any(parameter => parameter.Name == Caller);

    public IEnumerable<NameUse> GetNameUses(TemplateBody body) =>
    [
        .. parameters.Select(parameter => new NameUse(parameter.Name, false)),
        .. parameters.SelectMany(parameter => parameter.Default?.Names ?? []).Select(used => new NameUse(used.Identifier, true)),
        .. body.NameUses,
    ];

    public void Bind(ScopeSymbols outer, TemplateBody body, int line)
    {
        Body = body;
        HashSet<string> special = UndeclaredNames.Find(body, Caller, Keywords, Arguments);
        Symbols = new ScopeSymbols(outer);
        CollectNames();
        TakesCaller = special.Contains(Caller);
        if (TakesCaller && HasCallerParameter && parameters.First(parameter => parameter.Name == Caller).Default is null)
            throw new ChatTemplateException($"line {line}: the parameter 'caller' needs a default");
        if (TakesCaller && !HasCallerParameter) Symbols.Declare(Caller);
        TakesKeywords = special.Contains(Keywords) && parameters.All(parameter => parameter.Name != Keywords);
        if (TakesKeywords) Symbols.Declare(Keywords);
        TakesArguments = special.Contains(Arguments) && parameters.All(parameter => parameter.Name != Arguments);
        if (TakesArguments) Symbols.Declare(Arguments);
        CollectNames();
        Symbols.Complete();
        foreach (MacroParameter parameter in parameters) parameter.Default?.Bind(Symbols);
        body.Bind(Symbols);
    }

    private void CollectNames()
    {
        foreach (MacroParameter parameter in parameters) Symbols!.Declare(parameter.Name);
        foreach (MacroParameter parameter in parameters) parameter.Default?.CollectNames(Symbols!);
        Body!.CollectNames(Symbols!);
    }
}

/// <summary><c>{% macro name(a, b=1) %} ... {% endmacro %}</c></summary>
internal sealed record MacroNode(MacroSignature Signature, TemplateBody Body) : TemplateStatement
{
    public override IEnumerable<NameUse> NameUses => Signature.GetNameUses(Body);

    public override void CollectNames(ScopeSymbols symbols) => symbols.Store(Signature.Name);

    public override void Bind(ScopeSymbols symbols) => Signature.Bind(symbols, Body, Line);

    public override ControlFlow Execute(TemplateFrame frame)
    {
        frame.Set(Signature.Name, new MacroValue(Signature, frame));
        return ControlFlow.Next;
    }
}

/// <summary><c>{% call(a) f(b) %} ... {% endcall %}</c>, which passes its body to <c>f</c> as the function <c>caller</c></summary>
internal sealed record CallBlockNode(CallExpression Call, MacroSignature Signature, TemplateBody Body) : TemplateStatement
{
    public override IEnumerable<NameUse> NameUses => [.. ReadsOf(Call), .. Signature.GetNameUses(Body)];

    public override void CollectNames(ScopeSymbols symbols) => Call.CollectNames(symbols);

    public override void Bind(ScopeSymbols symbols)
    {
        Call.Bind(symbols);
        Signature.Bind(symbols, Body, Line);
    }

    public override ControlFlow Execute(TemplateFrame frame)
    {
        frame.WriteResult(Call.Call(frame, new MacroValue(Signature, frame)), "call");
        return ControlFlow.Next;
    }
}

/// <summary><c>{% generation %} ... {% endgeneration %}</c>, which marks the text of the assistant for training</summary>
/// <remarks>transformers, utils/chat_template_utils.py, AssistantTracker: a call block, so that its names are its own</remarks>
internal sealed record GenerationNode(MacroSignature Signature, TemplateBody Body) : TemplateStatement
{
    public override IEnumerable<NameUse> NameUses => Body.NameUses;

    public override void CollectNames(ScopeSymbols symbols)
    {
    }

    public override void Bind(ScopeSymbols symbols) => Signature.Bind(symbols, Body, Line);

    public override ControlFlow Execute(TemplateFrame frame)
    {
        frame.Write(new MacroValue(Signature, frame).Invoke(new TemplateArguments([], [])));
        return ControlFlow.Next;
    }
}
