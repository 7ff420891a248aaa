using System.Text;

namespace Ndif.Tokenizers.Chat.Statements;

/// <summary><c>{% set a = x %}</c>, <c>{% set a, b = x %}</c> or <c>{% set ns.a = x %}</c></summary>
internal sealed record SetNode(AssignmentTarget Target, TemplateExpression Content) : TemplateStatement
{
    public override IEnumerable<NameUse> NameUses => [.. Target.NameUses, .. ReadsOf(Content)];

    public override void CollectNames(ScopeSymbols symbols)
    {
        Content.CollectNames(symbols);
        Target.CollectNames(symbols);
    }

    public override void Bind(ScopeSymbols symbols)
    {
        Content.Bind(symbols);
        Target.Bind(symbols);
    }

    public override ControlFlow Execute(TemplateFrame frame)
    {
        Target.Check(frame);
        Target.Assign(frame, Content.Evaluate(frame));
        return ControlFlow.Next;
    }
}

/// <summary><c>{% set a | filter %} ... {% endset %}</c>, which sets the output of the block</summary>
internal sealed record SetBlockNode(AssignmentTarget Target, TemplateExpression Filters, TemplateBody Body) : TemplateStatement
{
    private ScopeSymbols? _symbols;

    public override IEnumerable<NameUse> NameUses => [.. Target.NameUses, .. ReadsOf(Filters), .. Body.NameUses];

    public override void CollectNames(ScopeSymbols symbols) => Target.CollectNames(symbols);

    public override void Bind(ScopeSymbols symbols)
    {
        Target.Bind(symbols);
        _symbols = new ScopeSymbols(symbols);
        Body.CollectNames(_symbols);
        _symbols.Complete();
        Body.Bind(_symbols);
        Filters.Bind(_symbols);
    }

    public override ControlFlow Execute(TemplateFrame frame)
    {
        TemplateFrame inner = frame.CreateInner(_symbols!, new StringBuilder()).Enter();
        if (Body.Execute(inner) is not ControlFlow.Next and var flow) return flow;
        Target.Assign(frame, Filters.Evaluate(inner));
        return ControlFlow.Next;
    }
}

/// <summary><c>{% filter upper %} ... {% endfilter %}</c>, which filters the output of the block</summary>
internal sealed record FilterBlockNode(TemplateExpression Filters, TemplateBody Body) : TemplateStatement
{
    private ScopeSymbols? _symbols;

    public override IEnumerable<NameUse> NameUses => [.. Body.NameUses, .. ReadsOf(Filters)];

    public override void CollectNames(ScopeSymbols symbols) => Filters.CollectNames(symbols);

    public override void Bind(ScopeSymbols symbols)
    {
        _symbols = new ScopeSymbols(symbols);
        Body.CollectNames(_symbols);
        Filters.CollectNames(_symbols);
        _symbols.Complete();
        Body.Bind(_symbols);
        Filters.Bind(_symbols);
    }

    public override ControlFlow Execute(TemplateFrame frame)
    {
        TemplateFrame inner = frame.CreateInner(_symbols!, new StringBuilder()).Enter();
        if (Body.Execute(inner) is not ControlFlow.Next and var flow) return flow;
        frame.WriteResult(Filters.Evaluate(inner), "filter");
        return ControlFlow.Next;
    }
}

/// <summary><c>{% with a = x, b = y %} ... {% endwith %}</c>. The values are those of the names outside of the block.</summary>
internal sealed record WithNode(IReadOnlyList<(AssignmentTarget Target, TemplateExpression Value)> Assignments, TemplateBody Body)
    : TemplateStatement
{
    private ScopeSymbols? _symbols;

    public override IEnumerable<NameUse> NameUses =>
    [
        .. Assignments.SelectMany(assignment => assignment.Target.NameUses),
        .. ReadsOf(Assignments.Select(assignment => assignment.Value)), .. Body.NameUses,
    ];

    public override void CollectNames(ScopeSymbols symbols)
    {
        foreach (var (_, value) in Assignments) value.CollectNames(symbols);
    }

    public override void Bind(ScopeSymbols symbols)
    {
        _symbols = new ScopeSymbols(symbols);
        foreach (var (target, _) in Assignments) target.CollectNames(_symbols, asParameter: true);
        Body.CollectNames(_symbols);
        _symbols.Complete();
        foreach (var (_, value) in Assignments) value.Bind(symbols);
        Body.Bind(_symbols);
    }

    public override ControlFlow Execute(TemplateFrame frame)
    {
        TemplateFrame inner = frame.CreateInner(_symbols!).Enter();
        foreach (var (target, value) in Assignments) target.Assign(inner, value.Evaluate(frame));
        return Body.Execute(inner);
    }
}
