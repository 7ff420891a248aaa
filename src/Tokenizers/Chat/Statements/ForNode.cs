using System.Text;

namespace Ndif.Tokenizers.Chat.Statements;

/// <summary><c>{% for a, b in items if condition recursive %} ... {% else %} ... {% endfor %}</c></summary>
/// <remarks>jinja2/compiler.py, visit_For</remarks>
internal sealed record ForNode(
    AssignmentTarget Target,
    TemplateExpression Items,
    TemplateExpression? Condition,
    bool IsRecursive,
    TemplateBody Body,
    TemplateBody? Else) : TemplateStatement
{
    private const string LoopName = "loop";

    private ScopeSymbols? _bodySymbols, _testSymbols, _elseSymbols;
    private bool _hasLoopVariable;

    public override IEnumerable<NameUse> NameUses =>
        [.. Target.NameUses, .. ReadsOf(Items), .. Body.NameUses, .. Else?.NameUses ?? [], .. ReadsOf(Condition)];

    public override void CollectNames(ScopeSymbols symbols) => Items.CollectNames(symbols);

    public override void Bind(ScopeSymbols symbols)
    {
        if (NameUses.Any(use => use is { Name: LoopName, IsRead: false }))
            throw new ChatTemplateException($"line {Line}: the variable 'loop' of a loop cannot be set");
        Items.Bind(symbols);
        _bodySymbols = new ScopeSymbols(symbols);
        _hasLoopVariable = IsRecursive || UndeclaredNames.Find(Body, LoopName).Count > 0 || BlockNode.HasScopedBlock(Body);
        if (_hasLoopVariable) _bodySymbols.Declare(LoopName);
        Target.CollectNames(_bodySymbols, asParameter: true);
        Body.CollectNames(_bodySymbols);
        _bodySymbols.Complete();
        if (Condition is not null)
        {
            _testSymbols = new ScopeSymbols(symbols);
            Target.CollectNames(_testSymbols, asParameter: true);
            Condition.CollectNames(_testSymbols);
            _testSymbols.Complete();
            Condition.Bind(_testSymbols);
        }
        Body.Bind(_bodySymbols);
        if (Else is null) return;
        _elseSymbols = new ScopeSymbols(symbols);
        Else.CollectNames(_elseSymbols);
        _elseSymbols.Complete();
        Else.Bind(_elseSymbols);
    }

    public override ControlFlow Execute(TemplateFrame frame)
    {
        object? items = Items.Evaluate(frame);
        if (!IsRecursive) return Run(frame, frame.Output, items, 0);
        frame.Write(RunRecursively(frame, items, 0));
        return ControlFlow.Next;
    }

    private string RunRecursively(TemplateFrame frame, object? items, int depth)
    {
        frame.Context.EnterCall();
        StringBuilder output = new();
        Run(frame, output, items, depth);
        frame.Context.LeaveCall();
        return output.ToString();
    }

    private ControlFlow Run(TemplateFrame frame, StringBuilder output, object? value, int depth)
    {
        IEnumerable<object?> items = TemplateValues.Iterate(value);
        frame.Budget.CountRead(value);
        if (Condition is not null) items = Filter(frame, items);
        LoopValue loop = new(items, Condition is null ? TemplateValues.Length(value) : null,
            IsRecursive ? inner => RunRecursively(frame, inner, depth + 1) : null, depth);
        TemplateFrame body = frame.CreateInner(_bodySymbols!, output);
        bool hasEnded = false;
        while (loop.MoveNext(out object? item))
        {
            frame.Budget.CountStep();
            Target.Assign(body, item);
            if (_hasLoopVariable) body.Set(LoopName, loop);
            body.Enter();
            ControlFlow flow = Body.Execute(body);
            if (flow == ControlFlow.Break) break;
            hasEnded |= flow == ControlFlow.Next;
        }
        // Jinja runs the else part unless an iteration has come to its end, so also after a break or continue in each of them.
        return hasEnded || Else is null ? ControlFlow.Next : Else.Execute(frame.CreateInner(_elseSymbols!, output).Enter());
    }

    private IEnumerable<object?> Filter(TemplateFrame frame, IEnumerable<object?> items)
    {
        TemplateFrame test = frame.CreateInner(_testSymbols!).Enter();
        foreach (object? item in items)
        {
            frame.Budget.CountStep();
            Target.Assign(test, item);
            if (Condition!.IsTrue(test)) yield return Target is TupleTarget tuple ? Repack(tuple, test) : item;
        }
    }

    /// <summary>The item as the tuple of its names. Jinja passes the items of a filtered loop on in this way.</summary>
    private static TupleValue Repack(TupleTarget target, TemplateFrame frame) => new(
        [.. target.Items.Select(item => item is TupleTarget inner ? Repack(inner, frame) : frame.Get(((NameTarget)item).Name))]);
}
